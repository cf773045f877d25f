package reputation

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const someURLs = "http://cdn.example/bad.exe\nhttps://8.8.4.4:8443/x\nhttp://c2.example:81/\nhttp://cdn.example/worse.exe\n"

// The host of a bad URL is no indicator, unless the feed says so.
func TestHostsOfURLsAreDerivedOnlyWhenAskedFor(t *testing.T) {
	f := feedOf(t, "urls", someURLs)
	x, _ := load(t, f)
	if got := append(askDomain(x, "cdn.example"), askAddress(x, "8.8.4.4", 8443)...); len(got) > 0 {
		t.Errorf("derived unasked: %v", told(got))
	}
	f.DeriveHost, f.Confidence, f.Tags = true, 90, []string{"ours"}
	x, report := load(t, f)
	if r := report.Feeds[0]; r.Rows != 4 || r.Refused != 0 || r.Entries != 7 {
		t.Errorf("%+v", r)
	}
	for asked, want := range map[string]string{
		"cdn.example:0": "cdn.example exact", "cdn.example:443": "cdn.example exact", "www.cdn.example:0": "",
		"c2.example:81": "c2.example name+port", "c2.example:0": "c2.example name_only", "c2.example:80": "",
	} {
		name, digits, _ := strings.Cut(asked, ":")
		port, _ := parsePort([]byte(digits))
		got := x.Host(nil, []byte(name), port, time.Time{})
		if strings.Join(told(got), " ") != want {
			t.Errorf("%s: %v, want %q", asked, told(got), want)
		}
		for _, m := range got {
			if m.Confidence != 25 || !slices.Equal(m.Tags, []string{"ours", derivedTag}) || m.Type != "domain-name" || m.Provenance == "" {
				t.Errorf("%s: %+v", asked, m)
			}
		}
	}
	if got := askAddress(x, "8.8.4.4", 8443); len(got) != 1 || got[0].How != howPort || got[0].Confidence != 25 {
		t.Errorf("%+v", got)
	}
	if got := askAddress(x, "8.8.4.4", 443); len(got) > 0 {
		t.Errorf("met on another port: %v", told(got))
	}
	if got := x.URL(nil, []byte("http://cdn.example/bad.exe"), time.Time{}); len(got) != 1 || got[0].Confidence != 90 {
		t.Errorf("the URL itself: %+v", got)
	}
}

// A private host gives no indicator, and a feed that trusts its URLs less than
// the cap trusts their hosts no more.
func TestDerivedHostsKeepTheFeedsRules(t *testing.T) {
	f := feedOf(t, "urls", "http://10.0.0.9/x\nhttp://low.example/x\nevil.example\n")
	f.DeriveHost, f.Confidence, f.AllowPrivate = true, 10, false
	x, report := load(t, f)
	if r := report.Feeds[0]; r.Entries != 3 || r.Private != 1 {
		t.Errorf("%+v", r)
	}
	if got := askDomain(x, "low.example"); len(got) != 1 || got[0].Confidence != 10 {
		t.Errorf("%+v", got)
	}
	if got := askDomain(x, "www.evil.example"); len(got) != 1 || len(got[0].Tags) != 0 {
		t.Errorf("a listed name: %+v", got)
	}
	if got := askAddress(x, "10.0.0.9", 0); len(got) > 0 {
		t.Errorf("%v", told(got))
	}
}
