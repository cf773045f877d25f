package state

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// What a kill leaves is an older copy as a whole, and its position says how old.
func TestAKilledStoreIsAnOlderCopy(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	var log changelog
	for n := range 200 {
		for _, op := range []string{"a", "b"} { // both or neither
			if err := s.State(op).Put("h", []byte("n"), fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		log.commit(t, s)
		if n == 120 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mine := t.TempDir()
	if err := os.CopyFS(mine, os.DirFS(dir)); err != nil { // what the disk holds at a kill
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, mine)
	defer s.Close()
	at := s.Position()
	if at == 0 || at >= int64(len(log)) {
		t.Fatalf("position %d of %d: the test shows nothing", at, len(log))
	}
	a, _ := s.State("a").Get("h", []byte("n"))
	a = bytes.Clone(a)
	b, _ := s.State("b").Get("h", []byte("n"))
	if want := fmt.Sprint(at/2 - 1); string(a) != want || string(b) != want {
		t.Errorf("at %d it holds %q and %q, want %s", at, a, b, want)
	}
}

// A restore that a kill ends, or that is of keys that were there before, leaves the
// changelog up to a place, and goes on from there.
func TestAKilledRestoreGoesOn(t *testing.T) {
	var log changelog
	want, at := map[string]string{}, map[int]map[string]string{}
	for n := range 4000 {
		at[n] = maps.Clone(want)
		key := fmt.Sprint("key-", n*n%701)
		change := Change{Key: AppendKey(nil, "op", "h", []byte(key))}
		if n%5 == 4 {
			delete(want, key)
		} else {
			change.Value = append([]byte{Format}, fmt.Sprint("value ", n)...)
			want[key] = fmt.Sprint("value ", n)
		}
		log = append(log, change)
	}
	at[len(log)] = want
	holds := func(s *Store) {
		t.Helper()
		got := map[string]string{}
		if err := s.State("op").Scan("h", nil, func(key, value []byte) error { got[string(key)] = string(value); return nil }); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, at[int(s.Position())]) {
			t.Errorf("at %d it holds %d keys, want %d", s.Position(), len(got), len(at[int(s.Position())]))
		}
	}
	disk := vfs.NewCrashableMem()
	s := openedOn(t, disk)
	log.bulk(t, s, 1500)
	holds(s)
	for i, until := range []int{1501, 2900, len(log)} {
		log.bulk(t, s, until)
		killed := openedOn(t, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})) // a kill takes nothing from the disk
		if p := killed.Position(); p == 0 || i > 0 && p <= 1501 {
			t.Errorf("killed at %d, it is at %d: nothing was kept", until, p)
		}
		holds(killed)
		log.restore(t, killed)
		holds(killed)
		if err := killed.Close(); err != nil {
			t.Fatal(err)
		}
	}
	holds(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A bulk refuses what it does not understand, as Restore does, and nothing of it is kept.
func TestABulkRefusesANewerFormat(t *testing.T) {
	s := opened(t, t.TempDir())
	defer s.Close()
	newer := Change{AppendKey(nil, "op", "h", []byte("k")), []byte{Format + 1, 'x'}}
	if err := s.Bulk().Add([]Change{newer}, 1); !errors.Is(err, ErrFormat) || s.Position() != 0 {
		t.Errorf("%v, at %d", err, s.Position())
	}
}

func TestAnUntrustworthyStoreIsDiscarded(t *testing.T) {
	now := time.Now()
	f := formats{1, 1}
	for name, c := range map[string]struct {
		of  Changelog
		now time.Time
	}{
		"another topic":           {Changelog{"other.state", of.ID, of.Partition}, now},
		"created anew":            {Changelog{of.Topic, [16]byte{2}, of.Partition}, now},
		"another partition":       {Changelog{of.Topic, of.ID, 4}, now},
		"older than tombstones":   {of, now.Add(tombstoneLife + time.Hour)},
		"from a clock set wrong":  {of, now.Add(-tombstoneLife - time.Hour)},
		"the same, to be trusted": {of, now.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var log changelog
			s := opened(t, dir)
			_ = s.State("op").Put("h", []byte("k"), []byte("v"))
			log.commit(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, why, err := open(Config{Of: c.of}, f, &files{dir: dir, fs: vfs.Default, now: func() time.Time { return c.now }})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			trusted := name == "the same, to be trusted"
			if got, _ := s.State("op").Get("h", []byte("k")); (why == "") != trusted || (s.Position() != 0) != trusted || (got != nil) != trusted {
				t.Errorf("discarded %q, position %d, value %q", why, s.Position(), got)
			}
		})
	}
}

func openAs(f formats) (*Store, string, error) {
	return open(Config{Of: of}, f, &files{dir: "memory", fs: vfs.NewMem(), now: time.Now})
}

// A rolling upgrade: N-1 and N read each other as long as N writes N-1; what N
// wrote in its own format, N-1 refuses in words, and N reads both.
func TestFormatsOfTwoVersions(t *testing.T) {
	older, newerWritesOlder, newer := formats{1, 1}, formats{2, 1}, formats{2, 2}
	write := func(f formats, log changelog, value string) changelog {
		s, _, err := openAs(f)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		log.restore(t, s)
		_ = s.State("op").Put("h", []byte(value), []byte(value))
		log.commit(t, s)
		return log
	}
	log := write(older, nil, "a")
	log = write(newerWritesOlder, log, "b")
	log = write(older, log, "c")
	log = write(newer, log, "d")
	s, _, err := openAs(newer)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log.restore(t, s)
	if got := scanned(t, s.State("op"), "h", ""); !slices.Equal(got, []string{"a=a", "b=b", "c=c", "d=d"}) {
		t.Errorf("the newer version reads %q", got)
	}
	old, _, err := openAs(older)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.Restore(log, int64(len(log))); !errors.Is(err, ErrFormat) {
		t.Errorf("the older version took a newer format: %v", err)
	}
	if err := (formats{3, 3}).reads([]byte{1, 'x'}); err == nil {
		t.Error("a format two versions old was read")
	}
	for _, wrong := range []int{-1, Format + 1} {
		if _, _, err := Open(Config{Format: wrong, Of: of}); err == nil {
			t.Errorf("format %d was accepted for writing", wrong)
		}
	}
}

func TestAFolderInUseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	defer s.Close()
	if _, _, err := Open(Config{Dir: dir, Of: of}); !errors.Is(err, ErrInUse) {
		t.Errorf("error %v, want ErrInUse", err)
	}
}

// What the engine keeps moves with the state: input positions, and the Kafka key
// of each host.
// A host's key is that of its own records, whatever record is in work when something of it
// is written: what waited for an answer, or for time to pass, is written beside others.
func TestAHostsKeyIsThatOfItsOwnRecords(t *testing.T) {
	s := opened(t, "")
	defer s.Close()
	var log changelog
	read := func(key string, own enrich.Host, written ...enrich.Host) {
		t.Helper()
		s.Reading([]byte(key))
		if own != "" {
			s.State("pipeline").(enrich.Owned).Reads(own)
		}
		for _, host := range written {
			if err := s.State("op").Put(host, []byte("k"), []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
		if own == "" { // nothing else in this transaction
			log.commit(t, s)
		}
	}
	wants := func(host enrich.Host, want string) {
		t.Helper()
		if key, err := s.Key(host); err != nil || string(key) != want {
			t.Errorf("%s has the key %q, want %q: %v", host, key, want, err)
		}
	}
	read("a", "host-a", "host-a")
	read("b", "host-b", "host-a", "host-b")
	wants("host-a", "a")
	read("b", "", "host-a", "host-b", "host-c") // of c nothing is known yet
	wants("host-a", "a")
	wants("host-b", "b")
	wants("host-c", "b")
	read("b", "host-b", "host-c", "host-a")
	read("c", "host-c", "host-c", "host-a")
	wants("host-c", "c")
	read("x", "host-a", "host-b", "host-a") // it has another key from now on
	wants("host-a", "x")
	read("c", "", "host-a")
	wants("host-a", "x")
	wants("host-b", "b")
	if key, err := s.Key(""); err != nil || key != nil {
		t.Errorf("what is no host's has the key %q: %v", key, err)
	}
}

func TestTheEnginesOwnKeys(t *testing.T) {
	s := opened(t, "")
	defer s.Close()
	var log changelog
	s.Reading([]byte("agent-1"))
	_ = s.State("op").Put("host-1", []byte("k"), []byte("v"))
	s.Discard() // forgets that it knew the host
	s.Reading([]byte("agent-1"))
	_ = s.State("op").Put("host-1", []byte("k"), []byte("v"))
	s.Reading(nil)
	_ = s.State("op").Put("host-2", []byte("k"), []byte("v"))
	s.SetInput("in", 1<<40)
	log.commit(t, s)
	other := opened(t, "")
	defer other.Close()
	log.restore(t, other)
	key, err := other.Key("host-1")
	none, _ := other.Key("host-2")
	if err != nil || string(key) != "agent-1" || none != nil {
		t.Errorf("keys %q and %q (%v)", key, none, err)
	}
	inputs, err := other.Inputs()
	if err != nil || len(inputs) != 1 || inputs["in"] != 1<<40 {
		t.Errorf("inputs %v (%v)", inputs, err)
	}
	if got := scanned(t, other.State("op"), "host-1", ""); len(got) != 1 {
		t.Errorf("the operator sees %q", got)
	}
	if err := other.State("op").Put("h", []byte("k"), nil); err == nil {
		t.Error("an empty value was taken")
	}
}
