package reputation

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// sameAsNetip compares parseAddr with netip, whose answers are the contract.
func sameAsNetip(t interface{ Fatalf(string, ...any) }, text string) {
	want, err := netip.ParseAddr(text)
	want = want.WithZone("").Unmap()
	got, ok := parseAddr([]byte(text))
	if ok != (err == nil) || got != want {
		t.Fatalf("parseAddr(%q) = %v %v, netip says %v %v", text, got, ok, want, err)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "01.2.3.4", "1.2.3", "::", "::1", "1::", "2001:db8::7", "::ffff:1.2.3.4", "::ffff:1.2.3.4.5",
		"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "fe80::1%", "1::2::3", ":1", "1:", "12345::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { sameAsNetip(t, text) })
}

func TestParseAddrIsNetips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xff, 0x20}), 16, 16).Draw(t, "raw")
		a, _ := netip.AddrFromSlice(raw)
		sameAsNetip(t, a.String())
		sameAsNetip(t, a.StringExpanded())
		sameAsNetip(t, rapid.StringMatching(`[0-9a-f:.%]{0,20}`).Draw(t, "text"))
	})
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		in, want string
	}{
		{"Evil.Example.", "evil.example"}, {"a-b.c_d.org", "a-b.c_d.org"}, {"faß.de", "xn--fa-hia.de"}, {"BÜCHER.example", "xn--bcher-kva.example"},
		{"_dmarc.evil.org", "_dmarc.evil.org"}, {"例え。テスト", "xn--r8jz45g.xn--zckzah"}, {"localhost", ""}, {"", ""}, {".", ""}, {"a..b", ""},
		{".evil.org", ""}, {"*.evil.org", ""}, {"1.2.3.4", ""}, {"evil[.]org", ""}, {"evil org.com", ""}, {"evil.org..", ""},
	} {
		got, ok := appendDomain(nil, []byte(c.in))
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("appendDomain(%q) = %q %v, want %q", c.in, got, ok, c.want)
		}
	}
}
