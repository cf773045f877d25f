package reputation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
	"pgregory.net/rapid"
)

// typed is a feed of one type.
func typed(t testing.TB, name, typ, text string) Feed {
	f := feedOf(t, name, text)
	f.Type = typ
	return f
}

const (
	someJA3  = "6734f37431670b3ab4292b8f60f29984"
	someJA4  = "t13d1516h2_8daaf6152771_b186095e22b6"
	someJARM = "27d40d40d29d40d1dc42d43d00041d4689ee210389f4f6b4b5b1b93f92252d"
	someCert = "057b20a5a4b9eabb1a1b1f1d8f5f5b7a3e0fb9c6"
)

// A value is met as the kind it is listed as, and as no other.
func TestKindsDoNotMix(t *testing.T) {
	x, _ := load(t, typed(t, "ja3", "ja3", someJA3+"\n"), typed(t, "ja4", "ja4", someJA4+"\n"), typed(t, "jarm", "jarm", someJARM+"\n"),
		typed(t, "cert", "cert_sha1", "05:7B:20:A5:A4:B9:EA:BB:1A:1B:1F:1D:8F:5F:5B:7A:3E:0F:B9:C6\n"))
	for k, text := range map[feed.Kind]string{feed.JA3: someJA3, feed.JA4: someJA4, feed.JARM: someJARM, feed.Cert: strings.ToUpper(someCert)} {
		for asked := feed.JA3; asked <= feed.Cert; asked++ {
			if got := x.Fingerprint(nil, asked, []byte(text), time.Time{}); len(got) > 0 != (asked == k) {
				t.Errorf("%s asked as %s: %+v", k, asked, got)
			}
		}
		if got := x.Hash(nil, []byte(text), time.Time{}); got != nil {
			t.Errorf("%s found as a hash", k)
		}
	}
	for _, wrong := range []struct{ typ, text string }{
		{"jarm", strings.Repeat("0", 62)}, {"ja4", "t13d1516h2_8daaf6152771_b186095e22bX"}, {"ja4", "x13d1516h2_8daaf6152771_b186095e22b6"}, {"ja3", someCert}, {"path", "*.exe"[:2]},
	} {
		f := typed(t, "f", wrong.typ, "")
		if b, err := decode(t, f, []byte(wrong.text+"\n")); err != nil || b.refusals.count != 1 {
			t.Errorf("%v was taken: %v", wrong, err)
		}
	}
}

// Paths are met whole, by their last part or by a pattern; Windows ones without
// regard to case.
func TestPaths(t *testing.T) {
	f := NewFeed("f", "f")
	f.Preset, f.Type, f.Header, f.Fields = "csv", "path", []string{"p"}, map[string]string{"value": "p"}
	b, err := decode(t, f, []byte("/tmp/.x/miner\ndropper.exe\n/var/tmp/*/kworkerds\nC:\\Users\\Public\\*.scr\nkdevtmpfs?\n*\n"))
	if err != nil || b.refusals.count != 1 {
		t.Fatal(err, b.refusals)
	}
	x := &Index{tables: []*table{b.table()}, seed: b.seed}
	for path, want := range map[string]string{
		"/tmp/.x/miner": "exact", "/tmp/.x/miner2": "", "/opt/dropper.exe": "name", `C:\a\dropper.exe`: "name", "dropper.exe": "exact", "/opt/xdropper.exe": "",
		"/var/tmp/a/kworkerds": "pattern", "/var/tmp/kworkerds": "", `c:\users\PUBLIC\x.SCR`: "pattern", "/bin/kdevtmpfsi": "pattern", "": "",
	} {
		got := x.Path(nil, []byte(path), time.Time{})
		if how := strings.Join(hows(got), ","); how != want {
			t.Errorf("%s: %q, want %q", path, how, want)
		}
	}
	e := enriched(t, x, "process_events", `"pid":"1","path":"/tmp/.x/miner","cmdline":"x"`)
	if got := met(e.Threats); !slices.Equal(got, []string{"process.executable=/tmp/.x/miner /tmp/.x/miner exact"}) {
		t.Error(got)
	}
}

func hows(threats []enrich.Threat) (all []string) {
	for _, t := range threats {
		all = append(all, t.How)
	}
	return all
}

// Plain values are met in the columns that their feed names, and in no others.
func TestValuesOfColumns(t *testing.T) {
	f := typed(t, "extensions", "value", "gighmmpiobklfepjocnamgkkbiglidom\n")
	f.Columns = []string{"identifier"}
	x, _ := load(t, f)
	e := enriched(t, x, "chrome_extensions", `"identifier":"gighmmpiobklfepjocnamgkkbiglidom","name":"x"`)
	if got := met(e.Threats); !slices.Equal(got, []string{"osquery.columns.identifier=gighmmpiobklfepjocnamgkkbiglidom gighmmpiobklfepjocnamgkkbiglidom exact"}) {
		t.Error(got)
	}
	if e := enriched(t, x, "chrome_extensions", `"name":"gighmmpiobklfepjocnamgkkbiglidom"`); len(e.Threats) > 0 {
		t.Error(met(e.Threats))
	}
}

// What lists that do not block do to a match: by rank, as an oracle says it.
func TestRolesActOnTheSameOrBroaderOnly(t *testing.T) {
	list := func(name, role, text string) Feed {
		f := feedOf(t, name, text)
		f.Role, f.Confidence = role, 80
		return f
	}
	x, _ := load(t,
		list("bad", "block", "evil.cdn.example\ncdn.example\n9.9.9.0/24\n9.9.9.9\nhttp://good.example/x\n"),
		list("good", "suppress", "cdn.example\n9.9.9.0/25\ngood.example\n"),
		list("top", "downgrade", "www.evil.cdn.example\n9.9.9.9\n"),
		list("dyn", "label", "example.org\ncdn.example\n"))
	verdict := func(threats []enrich.Threat) (all []string) {
		for _, t := range threats {
			all = append(all, fmt.Sprintf("%s -%s ~%s %v %d", t.Indicator, t.SuppressedBy, t.DowngradedBy, t.Labels, t.Confidence))
		}
		return all
	}
	for asked, want := range map[string][]string{
		"evil.cdn.example":     {"evil.cdn.example - ~ [dyn: cdn.example] 80", "cdn.example -good: cdn.example ~ [dyn: cdn.example] 80"},
		"www.evil.cdn.example": {"evil.cdn.example - ~top: www.evil.cdn.example [dyn: cdn.example] 25", "cdn.example -good: cdn.example ~top: www.evil.cdn.example [dyn: cdn.example] 25"},
		"www.example.org":      nil,
	} {
		if got := verdict(askDomain(x, asked)); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", asked, got, want)
		}
	}
	if got := verdict(askAddress(x, "9.9.9.9", 0)); !slices.Equal(got, []string{"9.9.9.9 - ~top: 9.9.9.9 [] 25", "9.9.9.0/24 -good: 9.9.9.0/25 ~top: 9.9.9.9 [] 25"}) {
		t.Errorf("%q", got)
	}
	if got := verdict(x.URL(nil, []byte("http://good.example/x"), time.Time{})); !slices.Equal(got, []string{"http://good.example/x - ~ [] 80"}) {
		t.Errorf("%q: a name must not clear a URL", got)
	}
	if got := x.Explain("evil.cdn.example", time.Time{}); len(got) != 1 || len(got[0].Matches) != 4 {
		t.Errorf("%+v", got)
	}
}

// Whatever the lists, a suppressing prefix clears exactly the listed prefixes that
// hold it.
func TestSuppressionIsTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var bad, good []netip.Prefix
		prefixes := func(label string) (list []netip.Prefix, text string) {
			for range rapid.IntRange(1, 12).Draw(rt, label) {
				a := near(rt, label)
				p := netip.PrefixFrom(a, rapid.IntRange(16, a.BitLen()).Draw(rt, "bits")).Masked()
				list, text = append(list, p), text+p.String()+"\n"
			}
			return list, text
		}
		bad, badText := prefixes("bad")
		good, goodText := prefixes("good")
		allow := feedOf(t, "good", goodText)
		allow.Role = "suppress"
		x, _ := load(t, feedOf(t, "bad", badText), allow)
		a := near(rt, "asked")
		for _, got := range x.Address(nil, a, 0, time.Time{}) {
			p, err := netip.ParsePrefix(got.Indicator)
			if err != nil {
				p = netip.PrefixFrom(netip.MustParseAddr(got.Indicator), netip.MustParseAddr(got.Indicator).BitLen())
			}
			want := slices.ContainsFunc(good, func(g netip.Prefix) bool { return g.Contains(a) && g.Bits() >= p.Bits() })
			if !slices.Contains(bad, p) || want != (got.SuppressedBy != "") {
				rt.Fatalf("%v in %v, %v allowed: %+v", a, bad, good, got)
			}
		}
	})
}

func TestDetailIsAsSmallAsItSays(t *testing.T) {
	if size := unsafe.Sizeof(detail{}); size != detailBytes {
		t.Errorf("%d bytes", size)
	}
}

// FuzzTypedRows: a row of any type that is taken is found again under its own
// kind.
func FuzzTypedRows(f *testing.F) {
	for _, s := range [][2]string{
		{"ip", "1.2.3.4"}, {"ip", "198.51.100.0/28"}, {"ip", "2001:db8::/32"}, {"ip", "::ffff:198.51.100.7"}, {"ip", "[2001:db8::7]:443"},
		{"domain", "WWW.Evil.example."}, {"domain", "bücher.example"}, {"domain", "*.evil.example"}, {"domain", "co.uk"}, {"domain", "evil.example:8443"},
		{"url", "evil.org/x"}, {"url", "HTTP://u:p@evil.example:80/a/../b?c#d"}, {"url", "https://[2001:db8::7]:8443/%7Ex"},
		{"hash", "D41D8CD98F00B204E9800998ECF84270"}, {"hash", strings.Repeat("aB", 20)}, {"hash", strings.Repeat("0f", 32)},
		{"ja3", strings.ToUpper(someJA3)}, {"ja3s", someJA3}, {"ja4", someJA4}, {"jarm", someJARM}, {"cert_sha1", someCert},
		{"path", `C:\*\x.exe`}, {"path", "/usr/bin/../tmp/evil"}, {"path", "evil.exe"}, {"value", "Ämi-0123 "}, {"value", "\x00\xff"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, typ, value string) {
		k, ok := feed.KindOf(typ)
		if !ok {
			return
		}
		set := NewFeed("f", "f")
		set.AllowPrivate = true
		b := newBuilder(set, (&Index{}).seed)
		i := feed.Indicator{Kind: k, Value: []byte(value)}
		b.seed = someSeed()
		b.Add(feed.Row{Document: "f", Line: 1}, &i)
		keys := slices.Clone(b.keys)
		tab := b.table()
		for _, raw := range keys {
			kind := tab.details[raw.row.detail].kind
			key, ok := appendKey(nil, kind, b.texts[raw.from:][:raw.size])
			if !ok || len(tab.key(nil, hashOf(b.seed, key), key, howExact, 0, time.Time{})) != 1 {
				t.Fatalf("%s %q is not found", kind, value)
			}
		}
	})
}
