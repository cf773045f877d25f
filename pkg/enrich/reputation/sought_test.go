package reputation

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// freshOf is the hash by which the one indicator of a new feed is looked for.
func freshOf(t testing.TB, f Feed) (*Index, uint64) {
	t.Helper()
	x, report := (&Loader{Keep: time.Hour}).Load(context.Background(), []Feed{f}, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	fresh := x.Fresh(f.Name, 0)
	if len(fresh) != 1 || len(x.Fresh(f.Name, x.table(f.Name).loaded.Unix())) != 0 {
		t.Fatalf("fresh: %x", fresh)
	}
	return x, fresh[0]
}

// What meets an indicator has its hash among what was sought, so that it is found when
// the indicator is learned later.
func TestWhatMeetsAnIndicatorWasSought(t *testing.T) {
	const md5, ja3 = "0cc175b9c0f1b6a831c399e269772661", "6271f898ce5be7dd52b0fc260d0662b3"
	for indicator, row := range map[string][2]string{
		"9.9.9.9":             {"socket_events", `"action":"connect","pid":"1","remote_address":"::ffff:9.9.9.9","remote_port":"443"`},
		"9.9.9.9:443":         {"socket_events", `"action":"connect","pid":"1","remote_address":"9.9.9.9","remote_port":"443"`},
		"9.9.0.0/20":          {"process_events", `"pid":"1","path":"/x","cmdline":"nc 9.9.8.7 1"`},
		"2001:db8:0:7::/62":   {"socket_events", `"action":"connect","pid":"1","remote_address":"2001:db8:0:6::1","remote_port":"443"`},
		"EVIL.org":            {"dns_lookup_events", `"name":"a.b.evil.org","type":"A","response":"8.8.8.8","pid":"4"`},
		"b\u00fccher.example": {"dns_lookup_events", `"name":"xn--bcher-kva.example","type":"A","response":"8.8.8.8","pid":"4"`},
		"http://evil.org/b":   {"process_events", `"pid":"1","path":"/x","cmdline":"curl https://evil.org:443/b"`},
		md5:                   {"hash", `"path":"/x","md5":"` + md5 + `","sha1":"","sha256":""`},
	} {
		x, hash := freshOf(t, feedOf(t, "list", indicator+"\n"))
		e := eventOf(t, row[0], row[1])
		if err := NewObserving(NewStore(x)).Enrich(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if len(e.Threats) != 1 || !slices.Contains(e.Sought, hash) || e.SoughtIn != x {
			t.Errorf("%s: %+v, sought %x without %x", indicator, e.Threats, e.Sought, hash)
		}
		// It is sought the same before the feed knows.
		before := eventOf(t, row[0], row[1])
		if err := NewObserving(NewStore(nil)).Enrich(context.Background(), before); err != nil || !slices.Contains(before.Sought, hash) {
			t.Errorf("%s: %v, sought %x before", indicator, err, before.Sought)
		}
	}
	for typ, text := range map[string]string{"ja3": ja3, "path": "x.exe", "value": "abc"} {
		f := feedOf(t, "list", text+"\n")
		if f.Type = typ; typ == "value" {
			f.Columns = []string{"identifier"}
		}
		x, hash := freshOf(t, f)
		var s Sought
		switch typ {
		case "ja3":
			x.fingerprint(nil, feed.JA3, []byte(ja3), time.Time{}, &s)
		case "path":
			x.file(nil, []byte(`C:\Temp\X.EXE`), time.Time{}, &s)
			x.file(nil, []byte(`/tmp/x.exe`), time.Time{}, &s)
		default:
			x.value(nil, "identifier", []byte(text), time.Time{}, &s)
		}
		if !slices.Contains(s, hash) {
			t.Errorf("%s: sought %x without %x", typ, s, hash)
		}
	}
}

func TestAnAddressIsSoughtByEveryPrefixThatHoldsIt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var a netip.Addr
		least := widest4
		if rapid.Bool().Draw(r, "IPv6") {
			a, least = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "address"))), widest6
		} else {
			a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(r, "address")))
		}
		if a.Is4In6() {
			r.Skip()
		}
		p := netip.PrefixFrom(a, rapid.IntRange(least, a.BitLen()).Draw(r, "bits")).Masked()
		b := newBuilder(NewFeed("list", "x"), someSeed())
		b.never = nil
		var s Sought
		s.address(a)
		if reason := b.prefix(feed.Row{}, p, &feed.Indicator{}); reason != "" {
			r.Fatal(reason)
		}
		hash, ok := b.table().sought(0)
		if !ok || !slices.Contains(s, hash) {
			r.Fatalf("%v in %v: %x without %x", a, p, s, hash)
		}
	})
}

// A path that meets a pattern was sought by what the pattern is looked for by.
func TestAPathIsSoughtByEveryPatternThatItMeets(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "bcd", "B", "*", "?", "/", "/", `\`, "tmp", "é"})
	rapid.Check(t, func(r *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(part, 1, 9).Draw(r, "pattern"), "")
		// Most paths that are made of nothing but chance meet no pattern.
		path := strings.NewReplacer("*", strings.Join(rapid.SliceOfN(part, 0, 3).Draw(r, "any"), ""), "?", "x").Replace(pattern)
		b := newBuilder(NewFeed("list", "x"), someSeed())
		key, ok := appendKey(nil, feed.Path, []byte(pattern))
		if !ok || !isPattern([]byte(pattern)) || b.glob(feed.Row{}, key[1:], &feed.Indicator{Kind: feed.Path}) != "" {
			r.Skip("no pattern")
		}
		packed := b.table()
		var s Sought
		hits := (&Index{tables: []*table{packed}, seed: someSeed()}).path(nil, []byte(path), time.Time{}, &s)
		hash, ok := packed.sought(0)
		if len(hits) > 0 && (!ok || !slices.Contains(s, hash)) {
			r.Fatalf("%q meets %q: %x without %x", path, pattern, s, hash)
		}
	})
	for pattern, want := range map[string]string{"/tmp/*.sh": "tmp", "*/evil?/x/y.exe": "y.exe", "evil*": "", `c:\users\*\x.exe`: "users"} {
		if got := string(anchor(pattern)); got != want {
			t.Errorf("%s is looked for by %q, want %q", pattern, got, want)
		}
	}
}

// What is met while a feed of values was never loaded is sought all the same.
func TestValuesAreSoughtBeforeTheirFeedIsThere(t *testing.T) {
	f := NewFeed("ids", filepath.Join(t.TempDir(), "none"))
	f.Type, f.Columns = "value", []string{"identifier"}
	x, _ := (&Loader{Keep: time.Hour}).Load(context.Background(), []Feed{f}, nil)
	e := eventOf(t, "chrome_extensions", `"identifier":"abc","name":"x"`)
	if err := NewObserving(NewStore(x)).Enrich(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	key, _ := appendKey(nil, feed.Value, []byte("abc"))
	if !slices.Contains(e.Sought, identOfKey(key, 0)) {
		t.Errorf("sought %x", e.Sought)
	}
}

// A list that raises no alarm is not looked for in what has passed.
func TestOnlyWhatRaisesAlarmsIsFresh(t *testing.T) {
	f := feedOf(t, "list", "9.9.9.9\n")
	f.Role = "label"
	pattern := feedOf(t, "patterns", "*/evil*\n")
	pattern.Type = "path"
	x, _ := (&Loader{Keep: time.Hour}).Load(context.Background(), []Feed{f, pattern}, nil)
	if got := fmt.Sprint(x.Loads()); len(x.Loads()) != 1 || len(x.Fresh("patterns", 0)) != 1 {
		t.Error(got)
	}
}
