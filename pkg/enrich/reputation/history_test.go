package reputation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// keeper loads one feed over and over, with restarts.
type keeper struct {
	t      testing.TB
	loader *Loader
	feed   Feed
	index  *Index
}

func newKeeper(t testing.TB, text string) *keeper {
	k := &keeper{t: t, loader: &Loader{Dir: t.TempDir(), Keep: time.Hour}, feed: feedOf(t, "list", text)}
	k.feed.MaxShrink = 100
	k.load()
	return k
}

func (k *keeper) load() {
	k.t.Helper()
	x, report := k.loader.Load(context.Background(), []Feed{k.feed}, k.index)
	if err := report.Err(); err != nil {
		k.t.Fatal(err)
	}
	k.index = x
}

// says is a new list. Its time of change is another, so that it is read.
func (k *keeper) says(text string) {
	k.t.Helper()
	write(k.t, k.feed.Path, text)
	at := k.index.table("list").loaded.Add(-time.Hour + time.Duration(len(text))*time.Millisecond)
	if err := os.Chtimes(k.feed.Path, at, at); err != nil {
		k.t.Fatal(err)
	}
	k.load()
}

func (k *keeper) restart() {
	k.index = nil
	k.load()
}

func (k *keeper) loaded() int64 { return k.index.table("list").loaded.Unix() }

const everyKind = "198.51.100.7\n198.51.100.0/28\n2001:db8::7\n198.51.100.9:443\nevil.example.org\nhttp://evil.example.org/a\nd41d8cd98f00b204e9800998ecf84270\n"

// askEvery asks for each entry of everyKind.
func askEvery(x *Index, at time.Time) (all [][]enrich.Threat) {
	return [][]enrich.Threat{
		x.Address(nil, netip.MustParseAddr("198.51.100.7"), 0, at), x.Address(nil, netip.MustParseAddr("198.51.100.3"), 0, at),
		x.Address(nil, netip.MustParseAddr("2001:db8::7"), 0, at), x.Address(nil, netip.MustParseAddr("198.51.100.9"), 443, at),
		x.Domain(nil, []byte("www.evil.example.org"), at), x.URL(nil, []byte("https://evil.example.org/a"), at),
		x.Hash(nil, []byte("D41D8CD98F00B204E9800998ECF84270"), at),
	}
}

// What a feed no longer lists still matches what happened before it left, over
// reloads and restarts, and tells the list and line that it stood in.
func TestADelistedIndicatorMatchesWhatHappenedBefore(t *testing.T) {
	k := newKeeper(t, everyKind)
	first, generation := k.loaded(), k.index.table("list").generation
	k.says("192.0.2.1\n")
	left := k.loaded()
	check := func(when string) {
		t.Helper()
		if n := k.index.Entries(); n != 1 {
			t.Errorf("%s: %d entries", when, n)
		}
		for i, got := range askEvery(k.index, time.Unix(left-1, 0)) {
			if len(got) == 0 {
				t.Errorf("%s: %d is not met before it left", when, i)
				continue
			}
			m := got[0]
			if m.Delisted.Unix() != left || m.FirstSeenHere.Unix() != first || m.Generation != generation || !strings.HasPrefix(m.Provenance, "list.txt:") {
				t.Errorf("%s: %d: %+v", when, i, m)
			}
		}
		for _, at := range []time.Time{time.Unix(left, 0), {}} {
			for i, got := range askEvery(k.index, at) {
				if len(got) > 0 {
					t.Errorf("%s: %d is met at %v: %+v", when, i, at, got)
				}
			}
		}
	}
	check("at once")
	k.restart()
	check("after a restart")
	k.says("192.0.2.2\n# another\n192.0.2.1\n")
	if k.index.table("list").entries() != 2 {
		t.Error("the delisted count as listed")
	}
	k.says("192.0.2.1\n# again\n")
	check("two loads later")
	k.says(everyKind + "192.0.2.1\n")
	for i, got := range askEvery(k.index, time.Unix(left+1000, 0)) {
		if len(got) == 0 || !got[0].Delisted.IsZero() || got[0].FirstSeenHere.Unix() != first {
			t.Errorf("listed again: %d: %+v", i, got)
		}
	}
	generation = k.index.table("list").generation
	write(t, k.feed.Path, "192.0.2.1\n") // while nobody looks
	k.restart()
	left = k.loaded()
	check("left before a restart")
}

// When an indicator left is told by when the list was written, so that two processes that
// look at their own pace tell the same.
func TestWhenAnIndicatorLeftIsTheSameForEveryProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	stamped := func(text string, at time.Time) {
		write(t, path, text)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now().Truncate(time.Second).Add(-time.Hour)
	stamped("9.9.9.9\n8.8.8.8\n", start.Add(-time.Hour))
	f := NewFeed("list", path)
	f.MaxShrink = 100
	early, late := &Loader{Dir: t.TempDir(), Keep: 2 * time.Hour}, &Loader{Dir: t.TempDir(), Keep: 2 * time.Hour}
	load := func(l *Loader, prev *Index) *Index {
		t.Helper()
		x, report := l.Load(context.Background(), []Feed{f}, prev)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		return x
	}
	a, b := load(early, nil), load(late, nil)
	a.tables[0].loaded, b.tables[0].loaded = start, start.Add(time.Second) // a while ago
	left := start.Add(10 * time.Minute)
	stamped("8.8.8.8\n", left)
	a, b = load(early, a), load(late, b)
	for name, x := range map[string]*Index{"one": a, "another": b} {
		before, after := x.Address(nil, netip.MustParseAddr("9.9.9.9"), 0, left.Add(-time.Second)), x.Address(nil, netip.MustParseAddr("9.9.9.9"), 0, left)
		if len(before) != 1 || !before[0].Delisted.Equal(left) || len(after) != 0 {
			t.Errorf("%s: %+v and %+v", name, before, after)
		}
	}
	// A list that says it was written before the load that had the indicator, or in the
	// time to come, tells nothing.
	for _, at := range []time.Time{start.Add(-time.Minute), time.Now().Add(time.Hour)} {
		a.tables[0].loaded = start
		now := time.Now().Unix()
		stamped("7.7.7.7\n", at)
		x := load(early, a)
		if got := x.Address(nil, netip.MustParseAddr("8.8.8.8"), 0, start); len(got) != 1 || got[0].Delisted.Unix() < now {
			t.Errorf("written %v: %+v", at, got)
		}
	}
}

func TestADelistedIndicatorIsForgottenInTime(t *testing.T) {
	k := newKeeper(t, everyKind)
	k.says("192.0.2.1\n")
	p := pastOf(k.index.table("list"))
	p.table = nil
	if got := p.departures(nil, 0, k.loaded()+3599, 3600); len(got) != 7 {
		t.Errorf("%d are kept", len(got))
	}
	if got := p.departures(nil, 0, k.loaded()+3600, 3600); len(got) != 0 {
		t.Errorf("%d are kept for too long", len(got))
	}
	k.feed.Type = "ip" // then names are no indicators, and were none
	k.feed.MaxRefused = 100
	k.load()
	if got := askEvery(k.index, time.Unix(k.loaded()-1000, 0)); len(got[4]) > 0 {
		t.Errorf("of other settings: %+v", got)
	}
}

// Without a folder nothing outlives a restart, so nothing is said of before.
func TestWithoutAFolderNoFirstTimeIsTold(t *testing.T) {
	k := newKeeper(t, everyKind)
	k.loader.Dir = ""
	k.restart()
	if got := askEvery(k.index, time.Time{}); !got[0][0].FirstSeenHere.IsZero() {
		t.Errorf("%+v", got[0])
	}
}

type account struct{ seen, gone int64 }

func (a *account) isGone(at time.Time) bool {
	if a.gone == 0 {
		return at.IsZero()
	}
	return at.Unix() == a.gone
}

// A sequence of lists, with restarts, gives what a plain account of it says.
func TestHistoryAgreesWithAPlainAccount(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		known := map[int]*account{}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		k := &keeper{t: t, loader: &Loader{Dir: dir, Keep: 1000 * time.Hour}, feed: NewFeed("list", filepath.Join(dir, "list.txt"))}
		k.feed.AllowPrivate, k.feed.MaxShrink = true, 100
		for n := range rapid.IntRange(1, 8).Draw(r, "loads") {
			listed := rapid.SliceOfNDistinct(rapid.IntRange(1, 20), 1, 10, rapid.ID).Draw(r, "list")
			text := fmt.Sprintln("#", n)
			for _, i := range listed {
				text += fmt.Sprintf("10.0.0.%d\nname%d.example.org\n", i, i)
			}
			write(t, k.feed.Path, text)
			if rapid.Bool().Draw(r, "restart") {
				k.restart()
			} else {
				k.load()
			}
			for _, a := range known {
				if a.gone == 0 {
					a.gone = k.loaded()
				}
			}
			for _, i := range listed {
				if known[i] == nil {
					known[i] = &account{seen: k.loaded()}
				}
				known[i].gone = 0
			}
		}
		if rapid.Bool().Draw(r, "restart at last") {
			k.restart()
		}
		for i := range 21 {
			at := k.loaded() - rapid.Int64Range(0, 8).Draw(r, "before")
			for _, got := range [][]enrich.Threat{
				k.index.Address(nil, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 0, time.Unix(at, 0)),
				k.index.Domain(nil, fmt.Appendf(nil, "name%d.example.org", i), time.Unix(at, 0)),
			} {
				a := known[i]
				if want := a != nil && (a.gone == 0 || at < a.gone); (len(got) == 1) != want {
					r.Fatalf("%d at %d: %+v of %+v", i, at, got, a)
				} else if want && (got[0].FirstSeenHere.Unix() != a.seen || !a.isGone(got[0].Delisted)) {
					r.Fatalf("%d: %+v of %+v", i, got, a)
				}
			}
		}
	})
}

// What only hits read is the same on disk and in memory, and stays while the Index
// does.
func TestATableOnDiskAnswersAsInMemory(t *testing.T) {
	text := everyKind + manyAddresses(3000)
	x, _ := load(t, feedOf(t, "list", text))
	y, _ := load(t, feedOf(t, "list", text))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index-left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := y.tables[0].toDisk(dir, 0); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 || runtime.GOOS == "linux" && y.Size().OnDisk == 0 {
		t.Errorf("%d files are left, %+v", len(left), y.Size())
	}
	for range 3 {
		runtime.GC()
		for i := range askEvery(x, time.Time{}) {
			a, b := askEvery(x, time.Time{})[i], askEvery(y, time.Time{})[i]
			for j := range a {
				a[j].Provenance, b[j].Provenance = filepath.Base(a[j].Provenance), filepath.Base(b[j].Provenance)
			}
			if len(a) == 0 || fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
				t.Errorf("%d: %+v in memory, %+v on disk", i, a, b)
			}
		}
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.tables[0].toDisk(blocked, 0); err == nil || len(askEvery(x, time.Time{})[0]) == 0 {
		t.Error("a folder that is none:", err)
	}
}

// sealed is a history with the numbers that must fit it set right, else as it is: a
// text that is changed at random would seldom get past its checksum.
func sealed(text []byte, f Feed) []byte {
	line, body, _ := bytes.Cut(text, []byte("\n"))
	var head map[string]json.RawMessage
	if json.Unmarshal(line, &head) != nil || head == nil {
		return text
	}
	for key, value := range map[string]any{
		"version": historyVersion, "source": f.source(), "settings": f.settings(), "records": len(body) / historyRecord, "sum": crc32.ChecksumIEEE(body),
	} {
		head[key], _ = json.Marshal(value) // numbers and a text always can be
	}
	line, err := json.Marshal(head)
	if err != nil {
		return text
	}
	return append(append(line, '\n'), body...)
}

func FuzzDecodeHistory(f *testing.F) {
	k := newKeeper(f, everyKind)
	read := func() []byte {
		text, err := os.ReadFile(filepath.Join(folderOf(k.loader.Dir, "list").Dir, historyFile))
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	f.Add(read(), true)
	k.says("192.0.2.1\n")
	f.Add(read(), true)
	k.says(everyKind) // some are listed again, one is delisted
	f.Add(read(), true)
	f.Add(read(), false)
	for _, delisted := range []string{
		`{"Kind":1,"Value":"MS4yLjMuNC8zMw==","Seen":1,"Gone":9000000000}`, `{"Kind":1,"Value":"","Port":65535,"Gone":9000000000}`,
		`{"Kind":2,"Value":"YS5iLmV4YW1wbGU=","Exact":true,"Document":"d","Line":-1,"Gone":9000000000}`,
		`{"Kind":10,"Value":"L3RtcC9hYmMq","Gone":9000000000},{"Kind":10,"Value":"Kg==","Gone":9000000000}`, `{"Kind":255,"Value":"eA==","Gone":9000000000}`,
	} {
		f.Add([]byte(`{"delisted":[`+delisted+"]}\n"), true)
	}
	f.Add([]byte("{}\n0123456789ab1123456789ab"), true)
	f.Add([]byte("{}\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, seal bool) {
		if seal {
			text = sealed(text, k.feed)
		}
		p, err := decodeHistory(text, k.feed)
		if err != nil {
			return
		}
		for i := range p.gone {
			p.gone[i].ident()
		}
		b := newBuilder(k.feed, someSeed())
		tab := b.goOn(history{keep: time.Hour, before: func(string) *past { return p }}, "g", time.Now())
		if tab.entries() != 0 {
			t.Errorf("%d are listed", tab.entries())
		}
	})
}

func TestABrokenHistoryIsNone(t *testing.T) {
	k := newKeeper(t, everyKind)
	path := filepath.Join(folderOf(k.loader.Dir, "list").Dir, historyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, broken := range [][]byte{text[:len(text)-1], append(text[:len(text):len(text)], 0), text[:10], nil} {
		if _, err := decodeHistory(broken, k.feed.Resolved()); err == nil {
			t.Errorf("%d was read", i)
		}
	}
	other := k.feed.Resolved()
	other.Preset = "zeek"
	if _, err := decodeHistory(text, other); err == nil {
		t.Error("that of another source was read")
	}
	if p, err := decodeHistory(text, k.feed.Resolved()); err != nil || len(p.idents) != 7 {
		t.Error(p, err)
	}
}
