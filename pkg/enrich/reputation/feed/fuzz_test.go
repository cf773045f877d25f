package feed

import (
	stdcsv "encoding/csv"
	"slices"
	"strings"
	"testing"
)

// fuzzed reads any text: it ends, takes only what the text holds, and gives every
// row a place.
func fuzzed(t *testing.T, s Settings, text string) {
	b, _ := read(s, text)
	if b.rows > len(text)+1 {
		t.Fatalf("%d rows of %d bytes", b.rows, len(text))
	}
	if len(b.taken)+len(b.left) != b.rows {
		t.Fatalf("%d rows, took %d and left %d", b.rows, len(b.taken), len(b.left))
	}
}

func fuzz(f *testing.F, s Settings, seeds ...string) {
	for _, text := range append(seeds, "", "#", "\ufeff\r\n", "{}", "[[]]") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzed(t, s, text) })
}

func FuzzLines(f *testing.F) {
	fuzz(f, preset("lines"), "1.2.3.4\t3\n# Entries : 9\nevil.org # x\n", "[::1]:80\n1.2.3.4:1\n")
}

func FuzzCSV(f *testing.F) {
	fuzz(f, Settings{Preset: "csv", Fields: map[string]string{"value": "v", "type": "t", "first_seen": "f", "port": "p"}},
		"v,t,f,p\n1.2.3.4,ip,2026-01-01,80\n", "# v, \"t\", f,p\n\"a\nb\",,\"\n# END 3 entries\n")
}

func FuzzTSV(f *testing.F) {
	fuzz(f, Settings{Preset: "tsv", Header: []string{"v", "n"}, Fields: map[string]string{"value": "v", "name": "n"}}, "1.2.3.4\tx\n\t\n")
}

func FuzzThreatFox(f *testing.F) {
	fuzz(f, preset("threatfox"), threatFoxHead+`"2026-01-02 03:04:05", "1", "1.2.3.4:8080", "ip:port"`, `{"4":[{"ioc_value":"evil.org","ioc_type":"domain"}]}`)
}

func FuzzURLhaus(f *testing.F) {
	fuzz(f, preset("urlhaus"), "# id,dateadded,url\n\"1\",\"2022-12-16 04:XX:XX\",\"http://a.org/\"\n", `{"1":[{"url":"http://a.org/"}]}`, "http://a.org/\n")
}

func FuzzJSON(f *testing.F) {
	fuzz(f, Settings{Preset: "json", Rows: "a.*", Fields: map[string]string{"value": "v|@", "id": "@key", "tags": "t.u"}}, `{"a":[{"v":"x","t":{"u":["a",1,true]}}]}`, `{"a":{"b":"c"}}{"a":[]}`)
}

func FuzzNDJSON(f *testing.F) {
	fuzz(f, preset("spamhaus_drop"), `{"cidr":"1.2.3.0/24"}`+"\n"+`{"type":"metadata","records":1}`)
}

func FuzzMISP(f *testing.F) { fuzz(f, preset("misp"), mispDocument, `{"Event":{}}`) }

func FuzzSTIX(f *testing.F) {
	fuzz(f, preset("stix"), `{"objects":[`+indicatorText("1", "2020-01-01T00:00:00Z", "[url:value = 'http://a.org/' OR file:name='x']", "")+`]}`, `{"objects":[{"type":"indicator"}]}`)
}

func FuzzZeek(f *testing.F) {
	fuzz(f, preset("zeek"), "#fields\tindicator\tindicator_type\tmeta.source\n1.2.3.4\tIntel::ADDR\tx\n")
}

func FuzzHosts(f *testing.F) { fuzz(f, preset("hosts"), "0.0.0.0 a.org b # c\n::1 localhost\n") }

func FuzzWarninglist(f *testing.F) {
	fuzz(f, preset("warninglist"), `{"name":"n","type":"hostname","list":[".a.org","b"]}`, `{"type":"cidr","list":["1.2.3.0/24"]}`)
}

// FuzzPattern: what is no pattern is refused, and a choice never holds more than
// the pattern's own strings.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"[a:b = 'c']", "[a:b.'c d'[*] IN ('x', 1) AND (c:d NOT LIKE t'x')] REPEATS 2 TIMES FOLLOWEDBY [EXISTS x:y]", "((["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parsePattern(text)
		if err != nil {
			return
		}
		plain := strings.ReplaceAll(text, `\`, "")
		for _, a := range c.atoms {
			if !strings.Contains(plain, strings.ReplaceAll(a.value, `\`, "")) {
				t.Fatalf("%q is not in %q", a.value, text)
			}
		}
	})
}

// FuzzSplitCSV holds the splitter against encoding/csv, on one line.
func FuzzSplitCSV(f *testing.F) {
	for _, s := range []string{`"a","b""c",d`, `a,"b`, `"a"b`, `a"b`, ``, `,`, `"",""`, `"a", "b"`, `  a, b `} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x85 || r > 0x7f }) {
			return // what else encoding/csv takes for a space
		}
		r := stdcsv.NewReader(strings.NewReader(line))
		r.TrimLeadingSpace = true
		want, err := r.Read()
		if len(strings.TrimLeft(line, " ")) == 0 {
			return // to encoding/csv an empty line is none
		}
		got, ok := splitCSV(nil, []byte(line), ',')
		if ok != (err == nil) || ok && !slices.EqualFunc(got, want, func(a []byte, b string) bool { return string(a) == b }) {
			t.Fatalf("%q: %q %v, encoding/csv says %q %v", line, got, ok, want, err)
		}
	})
}
