package spool

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden spool anew")

// golden is a spool as format 1 was first written: it must be read for ever.
const golden = "testdata/format-1"

func makeGolden(t *testing.T) {
	t.Helper()
	must(t, os.RemoveAll(golden))
	must(t, os.MkdirAll(golden, 0o700))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := openDir(t, golden, func(c *Config) {
		c.WhenFull, c.HostIDs, c.Now = DropNewest, []string{"m", "i-1"}, func() time.Time { return at }
	})
	for i := range 4 {
		add(t, s, fmt.Sprintf("call %d", i+1))
	}
	s.Lose(DroppedNewest, "status", 2, 20)
	add(t, s, "call 7")
	f := next(t, s)
	must(t, s.Commit(f.After(map[string]string{"osquery.results": f.Run + "/1"})))
	must(t, s.Close())
	for _, name := range []string{"ledger.0", "ledger.1"} { // 64 KiB of zeros need not be in a repository
		b, err := os.ReadFile(filepath.Join(golden, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(golden, name), bytes.TrimRight(b, "\x00"), 0o600))
	}
}

func TestTheFirstSpoolsAreReadForEver(t *testing.T) {
	if *update {
		makeGolden(t)
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(golden)))
	s := openDir(t, dir, func(c *Config) { c.HostIDs = []string{"m", "i-1"} })
	defer s.Close()
	if at := s.Committed(); at.Seq != 1 || at.Prev["osquery.results"] == "" || !s.Clean() || !s.LastSpooled().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("position %+v, clean %v, last spooled %v", at, s.Clean(), s.LastSpooled())
	}
	if seq := add(t, s, "call 8"); seq != 8 {
		t.Errorf("seq %d", seq)
	}
	payloads, missing := told(t, s)
	if strings.Join(payloads, ", ") != "call 2, call 3, call 4, call 7, call 8" || strings.Join(missing, "") != "drop_newest status 5-6" {
		t.Errorf("read %q, missing %q", payloads, missing)
	}
}

// newerFormat makes a segment one that format 2 wrote, as far as we can see.
func newerFormat(b []byte) {
	copy(b, "SJSEG002")
	copy(b[headerBlock:], "SJSEG002")
}

// An older version leaves what a newer one wrote where it is and goes on with
// segments of its own; the newer one then reads what was left, first.
func TestAnOlderVersionLeavesWhatANewerOneWrote(t *testing.T) {
	d := newDisk(rand.IntN)
	s := openOn(t, d)
	for i := range 3 {
		add(t, s, fmt.Sprint(i+1))
	}
	must(t, s.Commit(func() Position { f := next(t, s); return f.After(nil) }()))
	must(t, s.Close())
	node := d.files[segmentName(1)]
	as1 := bytes.Clone(node.now)
	newerFormat(node.now)

	s = openOn(t, d) // the older version, twice
	add(t, s, "4")
	if payloads, missing := told(t, s); strings.Join(payloads, "") != "4" || len(missing) > 0 {
		t.Errorf("the older version read %q, missing %q", payloads, missing)
	}
	if s.Stats().Lost[Damaged].Calls > 0 {
		t.Error("what is newer counts as damaged")
	}
	must(t, s.Close())
	s = openOn(t, d)
	add(t, s, "5")
	for s.Ready() {
		f := next(t, s)
		must(t, s.Commit(f.After(nil)))
	}
	must(t, s.Close())
	if d.files[segmentName(1)] == nil || !bytes.HasPrefix(d.files[segmentName(1)].now, []byte("SJSEG002")) {
		t.Fatal("the newer segment was touched")
	}

	copy(d.files[segmentName(1)].now, as1) // the newer version is back, and can read it
	s = openOn(t, d)
	add(t, s, "6")
	if payloads, _ := told(t, s); strings.Join(payloads, "") != "236" {
		t.Errorf("the newer version read %q, want what was left and what is new", payloads)
	}
	for s.Ready() {
		f := next(t, s)
		must(t, s.Commit(f.After(nil)))
	}
	must(t, s.Close())
}

// Members of the slots that only a newer format has survive an older version.
func TestMembersOfANewerFormatAreKept(t *testing.T) {
	d := newDisk(rand.IntN)
	s := openOn(t, d)
	add(t, s, "1")
	must(t, s.Close())
	for _, name := range []string{"identity", "position"} {
		for i := range 2 {
			file := fmt.Sprintf("%s.%d", name, i)
			value, generation, err := parseSlot(d.files[file].now)
			must(t, err)
			text := strings.Replace(string(value), `"format":1`, `"format":2`, 1)
			b := slotBytes([]byte(text), []byte(`,"shiny":{"new":true}`), generation)
			b = bytes.Replace(b, []byte(`{"format":1,"format":2,`), []byte(`{"format":2,`), 1)
			d.files[file].now = resum(b)
		}
	}
	s = openOn(t, d)
	f := next(t, s)
	must(t, s.Commit(f.After(nil)))
	add(t, s, "2")
	f = next(t, s)
	must(t, s.Commit(f.After(nil)))
	must(t, s.Close())
	for _, file := range []string{"identity.0", "identity.1", "position.0", "position.1"} {
		value, _, err := parseSlot(d.files[file].now)
		must(t, err)
		var members map[string]json.RawMessage
		must(t, json.Unmarshal(value, &members))
		if string(members["shiny"]) != `{"new":true}` {
			t.Errorf("%s: %s", file, value)
		}
	}
}

// resum corrects length and checksum of a slot whose JSON was changed.
func resum(b []byte) []byte {
	_, generation, _ := parseSlot(b)
	text := b[slotHeader:]
	fixed := make([]byte, slotHeader, len(b))
	fixed = append(fixed, text...)
	return sealSlot(fixed, generation)
}

// A spool that was copied to another host, or rolled back to an older copy of
// itself, gives no name a second time and takes no good call for a duplicate.
func TestCopiesAndRollbacksGiveNoNameTwice(t *testing.T) {
	base := t.TempDir()
	s := openDir(t, base)
	for i := range 5 {
		add(t, s, fmt.Sprint("base ", i))
	}
	f := next(t, s)
	must(t, s.Commit(f.After(nil)))
	must(t, s.Close())
	names := map[string]string{}
	use := func(dir, who string, want int) {
		t.Helper()
		s := openDir(t, dir)
		defer s.Close()
		for i := range 3 {
			add(t, s, fmt.Sprint(who, " ", i))
		}
		got := 0
		for s.Ready() {
			f := next(t, s)
			if old, ok := names[f.Name()]; ok && old != string(f.Payload) {
				t.Errorf("%s names %q and %q", f.Name(), old, f.Payload)
			}
			names[f.Name()] = string(f.Payload)
			if len(f.Missing) > 0 {
				t.Errorf("%s: missing %+v", f.Name(), f.Missing)
			}
			must(t, s.Commit(f.After(nil)))
			got++
		}
		if got != want {
			t.Errorf("%s: %d calls came, want %d", who, got, want)
		}
	}
	backup := filepath.Join(t.TempDir(), "backup")
	must(t, os.CopyFS(backup, os.DirFS(base)))
	twin := filepath.Join(t.TempDir(), "twin")
	must(t, os.CopyFS(twin, os.DirFS(base)))
	use(base, "here", 7)
	use(twin, "twin", 7)
	use(base, "here again", 3)
	must(t, os.RemoveAll(base))
	must(t, os.CopyFS(base, os.DirFS(backup)))
	use(base, "rolled back", 7)
}
