package reputation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
	"pgregory.net/rapid"
)

// near draws addresses that are close to each other, so that prefixes nest and
// lookups hit.
func near(t *rapid.T, label string) netip.Addr {
	pick := rapid.SampledFrom([]byte{0, 1, 2, 0x7f, 0x80, 0xff})
	raw := rapid.SliceOfN(pick, 4, 4).Draw(t, label)
	if rapid.Bool().Draw(t, label+" is v6") {
		wide := append([]byte{0x2a, 0}, append(rapid.SliceOfN(pick, 10, 10).Draw(t, label+" rest"), raw...)...)
		a, _ := netip.AddrFromSlice(wide)
		return a
	}
	raw[0] |= 8
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// TestAddressesAreTheOracles compares lookups with a walk over the list.
func TestAddressesAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lists := make([][]netip.Prefix, rapid.IntRange(1, 3).Draw(rt, "feeds"))
		var feeds []Feed
		for i := range lists {
			var text strings.Builder
			for range rapid.IntRange(1, 60).Draw(rt, "entries") {
				a := near(rt, "entry")
				p := netip.PrefixFrom(a, rapid.IntRange(16, a.BitLen()).Draw(rt, "bits")).Masked()
				fmt.Fprintln(&text, p)
				if !slices.Contains(lists[i], p) {
					lists[i] = append(lists[i], p)
				}
			}
			feeds = append(feeds, feedOf(t, fmt.Sprint("feed", i), text.String()))
		}
		x, _ := load(t, feeds...)
		for range 50 {
			a := near(rt, "asked")
			if want, got := holding(lists, a), names(x.Address(nil, a, 0, time.Time{})); !slices.Equal(got, want) {
				rt.Fatalf("%v is in %v, want %v", a, got, want)
			}
			if a.Is4() {
				mapped := netip.AddrFrom16(a.As16())
				if want, got := holding(lists, a), names(x.Address(nil, mapped, 0, time.Time{})); !slices.Equal(got, want) {
					rt.Fatalf("%v is in %v, want %v", mapped, got, want)
				}
			}
		}
	})
}

// holding is the oracle: the narrowest first, then by feed.
func holding(lists [][]netip.Prefix, a netip.Addr) []string {
	var all []string
	for bits := 128; bits >= 0; bits-- {
		for i, list := range lists {
			for _, p := range list {
				if p.Bits() == bits && p.Contains(a) {
					text := p.String()
					if p.IsSingleIP() {
						text = p.Addr().String()
					}
					all = append(all, fmt.Sprintf("feed%d %s", i, text))
				}
			}
		}
	}
	return all
}

func names(threats []enrich.Threat) []string {
	var all []string
	for _, t := range threats {
		all = append(all, t.Feed+" "+t.Indicator)
	}
	return all
}

// TestDomainsAreTheOracles compares with strings.HasSuffix at a label's edge.
func TestDomainsAreTheOracles(t *testing.T) {
	name := func(t *rapid.T, label string) string {
		labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "bad", "ab"}), 1, 4).Draw(t, label)
		return strings.Join(labels, ".") + rapid.SampledFrom([]string{".org", ".example", ".co.uk"}).Draw(t, label+" tld")
	}
	rapid.Check(t, func(rt *rapid.T) {
		listed := map[string]bool{}
		var text strings.Builder
		for range rapid.IntRange(1, 30).Draw(rt, "entries") {
			if n := name(rt, "entry"); !listed[n] {
				listed[n] = true
				fmt.Fprintln(&text, spelled(rt, n))
			}
		}
		x, _ := load(t, feedOf(t, "feed", text.String()))
		for range 30 {
			asked := name(rt, "asked")
			var want []string
			for rest, how := asked, howExact; strings.Contains(rest, "."); how = howSubdomain {
				if listed[rest] {
					want = append(want, rest+" "+how)
				}
				_, rest, _ = strings.Cut(rest, ".")
			}
			got := told(askDomain(x, spelled(rt, asked)))
			for i := range got {
				got[i] = strings.Replace(strings.ToLower(got[i]), ". ", " ", 1)
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%s: %v, want %v", asked, got, want)
			}
		}
	})
}

// spelled writes a name in another way.
func spelled(t *rapid.T, name string) string {
	if rapid.Bool().Draw(t, "upper") {
		name = strings.ToUpper(name)
	}
	if rapid.Bool().Draw(t, "dot") {
		name += "."
	}
	return name
}

func TestHashesAndURLs(t *testing.T) {
	x, _ := load(t, feedOf(t, "feed", "44D88612FEA8A8F36DE82E1278ABB02F\nhttp://Evil.example:80/a%2e/b?c#d\nhttps://[2001:DB8::7]:8443\nhttp://faß.example/\n"))
	for asked, want := range map[string]string{
		"44d88612fea8a8f36de82e1278abb02f": "44D88612FEA8A8F36DE82E1278ABB02F",
		"44d88612fea8a8f36de82e1278abb02e": "",
	} {
		if got := x.Hash(nil, []byte(asked), time.Time{}); len(got) > 0 != (want != "") || want != "" && (got[0].Indicator != want || got[0].Type != "file") {
			t.Errorf("%s: %+v", asked, got)
		}
	}
	for asked, found := range map[string]bool{
		"http://evil.example/a./b?c": true, "https://evil.example/a./b?c": true, "https://evil.example:80/a./b?c": false, "http://u:p@EVIL.example/%61%2E/b?c": true,
		"http://evil.example/a./b": false, "http://evil.example:8080/a./b?c": false, "evil.example/a./b?c": false,
		"wss://[2001:db8:0::7]:8443/": true, "https://[2001:db8::7:8443]/": false, "http://XN--fa-hia.example": true,
	} {
		if got := x.URL(nil, []byte(asked), time.Time{}); len(got) > 0 != found {
			t.Errorf("%s: %+v, want found %v", asked, got, found)
		}
	}
}

// TestConfirmation makes two keys share a hash: only the text decides.
func TestConfirmation(t *testing.T) {
	b := newBuilder(NewFeed("f", "f"), (&Index{}).seed)
	texts := []byte("evil.exampleevil.org")
	b.details.all = []detail{{kind: feed.Domain}}
	tab := b.table()
	tab.keys = packKeys([]rawKey{{hash: 7, from: 0, size: 12, row: row{line: 1}}, {hash: 7, from: 12, size: 8, row: row{line: 2}}}, texts, func(row) feed.Kind { return feed.Domain })
	for _, name := range []string{"evil.example", "evil.org"} {
		if got := tab.key(nil, 7, []byte(name), howExact, 0, time.Time{}); len(got) != 1 || string(got[0].text) != name {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := tab.key(nil, 7, []byte("good.example"), howExact, 0, time.Time{}); got != nil {
		t.Errorf("a hash alone was enough: %v", got)
	}
}

// Of lists that say the same the surest comes first, whatever their order, after what is
// narrower.
func TestTheSurestListComesFirst(t *testing.T) {
	list := func(name string, confidence int, text string) Feed {
		f := feedOf(t, name, text)
		f.Confidence = confidence
		return f
	}
	ipsum := list("ipsum", 10, "9.9.9.9\t7\nevil.org\n") // rows have their own
	ipsum.Preset, ipsum.Type, ipsum.MaxRefused = "ipsum", "auto", 100
	x, _ := load(t, list("low", 20, "9.9.9.9\n9.9.9.0/24\nevil.org\n"), ipsum, list("mid", 60, "9.9.9.9\nwww.evil.org\n"), list("same", 60, "9.9.9.9\nevil.org\n"))
	feeds := func(threats []enrich.Threat) (all []string) {
		for _, t := range threats {
			all = append(all, fmt.Sprint(t.Feed, " ", t.Indicator, " ", t.Confidence))
		}
		return all
	}
	got := feeds(askAddress(x, "9.9.9.9", 0))
	if len(got) != 5 || !strings.HasPrefix(got[0], "ipsum 9.9.9.9 ") || !slices.Equal(got[1:], []string{"mid 9.9.9.9 60", "same 9.9.9.9 60", "low 9.9.9.9 20", "low 9.9.9.0/24 20"}) {
		t.Errorf("%q", got)
	}
	if got := feeds(askDomain(x, "www.evil.org")); !slices.Equal(got, []string{"mid www.evil.org 60", "same evil.org 60", "low evil.org 20"}) {
		t.Errorf("%q", got)
	}
}

func TestLifetime(t *testing.T) {
	f := feedOf(t, "feodo", "first_seen_utc,dst_ip,dst_port,last_online\n2024-04-04 00:00:00,8.8.8.8,53,2024-04-10\n")
	f.Preset, f.Lifetime = "feodo", Lifetime(30*24*time.Hour)
	x, _ := load(t, f)
	a := netip.MustParseAddr("8.8.8.8")
	for day, found := range map[string]bool{"2023-01-01": true, "2024-05-10": true, "2024-05-11": false} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Address(nil, a, 53, at); len(got) > 0 != found {
			t.Errorf("%s: %v", day, got)
		}
	}
}

// TestMissAllocatesNothing and what is kept per entry hold the budget.
func TestMissAllocatesNothing(t *testing.T) {
	x, _ := load(t, feedOf(t, "a", manyAddresses(5000)+manyKeys(5000)), feedOf(t, "b", manyKeys(100)))
	asked := []netip.Addr{netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2a00::1"), netip.MustParseAddr("::ffff:9.9.9.9")}
	name, hash, url := []byte("WWW.fine.example.org."), []byte(strings.Repeat("0a", 32)), []byte("https://fine.example.org/path?q")
	var threats []enrich.Threat
	if n := testing.AllocsPerRun(100, func() {
		for _, a := range asked {
			threats = x.Address(threats, a, 443, time.Time{})
		}
		threats = x.Hash(x.URL(x.Domain(threats, name, time.Time{}), url, time.Time{}), hash, time.Time{})
	}); n != 0 || len(threats) > 0 {
		t.Errorf("%v allocations, found %v", n, threats)
	}
}

func TestSizePerEntry(t *testing.T) {
	for _, n := range []int{1 << 14, 1<<15 - 1, 100_000} {
		x, _ := load(t, feedOf(t, "a", manyAddresses(n)), feedOf(t, "b", manyKeys(n)))
		s := x.Size()
		if s.Addresses != n || s.Keys != n {
			t.Fatalf("%+v, want %d of each", s, n)
		}
		if s.AddressBytes > 24*n || s.KeyBytes > 16*n {
			t.Errorf("%d entries: %.1f B per address, %.1f per key", n, float64(s.AddressBytes)/float64(n), float64(s.KeyBytes)/float64(n))
		}
	}
}
