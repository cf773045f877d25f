package reputation

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/testdata"
)

// The examples of Safe Browsing, as far as their hosts are names of two labels or
// addresses. A port other than the scheme's own is kept.
func TestURLsAreCanonicalAsInSafeBrowsing(t *testing.T) {
	var vectors struct {
		Canonicalize []struct {
			ID      int
			In, Out string
		}
	}
	if err := json.Unmarshal(testdata.Read(t, "urls/safe_browsing_vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, v := range vectors.Canonicalize {
		in, out := v.In, v.Out
		for _, s := range []*string{&in, &out} { // names of one label are none here
			*s = strings.Replace(*s, "http://host/", "http://host.example/", 1)
		}
		if v.ID == 26 {
			out = "http://www.gotaport.com:1234/"
		}
		if trimmed := strings.TrimSpace(in); schemeLen([]byte(trimmed)) == 0 {
			in = "http://" + trimmed
		}
		_, want, _ := strings.Cut(out, "://")
		l, ok := parseURL(nil, []byte(in))
		if host, _, _ := strings.Cut(want, "/"); strings.ContainsAny(host, "%") {
			if ok {
				t.Errorf("%d: %q has the host %q", v.ID, in, host)
			}
			continue
		}
		checked++
		if !ok || string(l.key) != want {
			t.Errorf("%d: %q is %q, want %q", v.ID, in, l.key, want)
		}
	}
	if checked < 28 {
		t.Errorf("only %d of %d were checked", checked, len(vectors.Canonicalize))
	}
}

func TestHostsOfURLs(t *testing.T) {
	for in, want := range map[string]string{
		"http://3279880203/blah": "195.127.0.11/blah", "http://0x7f.1/": "127.0.0.1/", "http://010.0.0.1/": "8.0.0.1/", "http://1.256/": "1.0.1.0/",
		"http://256.1.1.1/": "", "http://4294967296/": "", "http://1.2.3.4.5/": "", "http://09.1/": "",
		"http://[2001:0db8:0000::1]/": "[2001:db8::1]/", "http://[::ffff:1.2.3.4]/": "1.2.3.4/", "http://[64:ff9b::1.2.3.4]/": "1.2.3.4/",
		"http://www.%65vil.org../a": "www.evil.org/a", "http://..evil.org/": "evil.org/", "http://evil%2eorg:8080": "evil.org:8080/",
		"http://u:p@EVIL.org/%7e?%7e#x": "evil.org/~?~", "http://evil.org/../../a/./b/../c/": "evil.org/a/c/", "http://evil.org?a=/../b": "evil.org/?a=/../b",
		"http://evil.org/%2e%2e/x%2fy": "evil.org/x/y", "http://evil.org/a/..": "evil.org/", "http://evil.org/a/b/.": "evil.org/a/b/", "http://evil.org/%": "evil.org/%25",
	} {
		l, ok := parseURL(nil, []byte(in))
		if string(l.key) != want || ok != (want != "") {
			t.Errorf("%s is %q (%v), want %q", in, l.key, ok, want)
		}
	}
}

// The canonical form is its own, however it is reached.
func TestACanonicalURLStaysAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rest := rapid.StringMatching(`[ab/.%2e5?#\x20]{0,20}`).Draw(t, "rest")
		l, ok := parseURL(nil, []byte("http://evil.org/"+rest))
		if !ok {
			t.Fatal("no URL")
		}
		again, ok := parseURL(nil, append([]byte("http://"), l.key...))
		if !ok || string(again.key) != string(l.key) {
			t.Fatalf("%q is %q, and that is %q", rest, l.key, again.key)
		}
	})
}
