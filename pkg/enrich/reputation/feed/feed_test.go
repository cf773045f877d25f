package feed

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a Sink that writes down what it is given.
type book struct {
	taken    []string
	details  []Indicator
	left     []string
	rows     int
	declared int
}

func (b *book) Add(r Row, i *Indicator) {
	b.rows++
	text := fmt.Sprintf("%s %s", i.Kind, i.Value)
	if i.Port > 0 {
		text += fmt.Sprint(" port ", i.Port)
	}
	b.taken = append(b.taken, text)
	kept := *i
	kept.Value = slices.Clone(i.Value)
	b.details = append(b.details, kept)
	if r.Line < 1 || r.Document == "" {
		panic("a row that nobody can find")
	}
}

func (b *book) Leave(r Row, reason string, broken bool) {
	b.rows++
	b.left = append(b.left, fmt.Sprintf("%d %v %s", r.Line, broken, reason))
}

func (b *book) Declare(n int) { b.declared += n }

// read reads documents as one load of a feed.
func read(s Settings, documents ...string) (*book, error) {
	b := &book{}
	d, err := NewDecoder(s)
	if err != nil {
		return b, err
	}
	for i, text := range documents {
		t, err := NewText(context.Background(), fmt.Sprint("document", i), strings.NewReader(text), sha256.New(), 1<<24)
		if err == nil {
			err = d.Read(t, b)
		}
		if err != nil {
			return b, err
		}
	}
	return b, d.Finish(b)
}

func mustRead(t *testing.T, s Settings, documents ...string) *book {
	t.Helper()
	b, err := read(s, documents...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func preset(name string) Settings { return Settings{Preset: name} }

const threatFoxHead = "################\n# abuse.ch ThreatFox IOCs: recent #\n################\n#\n" +
	`# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias","malware_printable","last_seen_utc","confidence_level","is_compromised","reference","tags","anonymous","reporter"` + "\n"

// Each trap of the feeds' own forms.
func TestTrapsOfTheForms(t *testing.T) {
	for name, c := range map[string]struct {
		preset, text string
		taken, left  []string
		declared     int
	}{
		"URLhaus CSV: commented header, CRLF, hidden digits, None": {
			"urlhaus", "\ufeff# abuse.ch URLhaus\r\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\r\n" +
				`"7","2022-12-16 04:05:06","http://1.2.3.4:80/a,b","online","2022-12-16 04:XX:XX","malware_download","32,elf","https://urlhaus.abuse.ch/url/7/","x"` + "\r\n" +
				`"8","2022-12-16 04:05:06","http://evil.org/","offline","None","malware_download","None","https://urlhaus.abuse.ch/url/8/","x"` + "\r\n",
			[]string{"url http://1.2.3.4:80/a,b", "url http://evil.org/"}, nil, 0,
		},
		"URLhaus JSON: the key is the id, times say UTC": {
			"urlhaus", `{"9":[{"dateadded":"2022-12-16 04:05:06 UTC","url":"http://evil.org/x","url_status":"online","last_online":null,"threat":"malware_download","tags":null,"urlhaus_link":"l","reporter":"r"}]}`,
			[]string{"url http://evil.org/x"}, nil, 0,
		},
		"URLhaus API: the list is one member among others": {
			"urlhaus", `{"query_status":"ok","urls":[{"id":"5","url":"http://evil.org/y","date_added":"2022-12-16 04:05:06 UTC","tags":["a","b"],"larted":"true"}]}`,
			[]string{"url http://evil.org/y"}, nil, 0,
		},
		"URLhaus text": {"urlhaus", "http://evil.org/a\nhttp://evil.org/b\n", []string{"url http://evil.org/a", "url http://evil.org/b"}, nil, 0},
		"ThreatFox CSV: a space before each quote, a port in the value, other types": {
			"threatfox", threatFoxHead +
				`"2026-01-02 03:04:05", "1", "1.2.3.4:8080", "ip:port", "botnet_cc", "win.x", "None", "X", "", "75", "False", "None", "c2, x", "0", "r"` + "\n" +
				`"2026-01-02 03:04:05", "2", "[2001:db8::7]:80", "ip:port", "botnet_cc", "win.x", "None", "X", "", "100", "False", "", "", "0", "r"` + "\n" +
				`"2026-01-02 03:04:05", "3", "evil.org", "domain", "botnet_cc", "win.x", "None", "X", "", "100", "True", "", "", "0", "r"` + "\n" +
				`"2026-01-02 03:04:05", "4", "aa", "sha3_384_hash", "payload", "win.x", "None", "X", "", "100", "False", "", "", "0", "r"` + "\n",
			[]string{"ip 1.2.3.4 port 8080", "ip 2001:db8::7 port 80", "domain evil.org"}, []string{"9 false " + OtherType}, 0,
		},
		"ThreatFox JSON": {
			"threatfox", `{"4":[{"ioc_value":"evil.org","ioc_type":"domain","malware_printable":"X","first_seen_utc":"2026-01-02 03:04:05","last_seen_utc":null,"confidence_level":50,"tags":"a,b"}]}`,
			[]string{"domain evil.org"}, nil, 0,
		},
		"Feodo JSON":         {"feodo", `[{"ip_address":"1.2.3.4","port":443,"status":"online","last_online":"2026-01-01","malware":"X"}]`, []string{"ip 1.2.3.4 port 443"}, nil, 0},
		"Feodo without rows": {"feodo", "#x\n" + `"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"` + "\n# END 0 entries", nil, nil, 0},
		"SSLBL certificates": {"sslbl_certs", "# Listingdate,SHA1,Listingreason\r\n2026-08-15 15:52:47,057b20a5a4b9eabb1a1b1f1d8f5f5b7a3e0fb9c6,Vidar C&C\r\n# END 1 entries\r\n", []string{"cert_sha1 057b20a5a4b9eabb1a1b1f1d8f5f5b7a3e0fb9c6"}, nil, 1},
		"Spamhaus: the last line counts the others": {"spamhaus_drop", `{"cidr":"1.10.16.0/20","sblid":"SBL1"}` + "\n{oops\n" + `{"type":"metadata","records":2}`, []string{"ip 1.10.16.0/20"}, []string{"2 true " + BadJSON}, 2},
		"IPsum": {"ipsum", "# IPsum\n#\n1.2.3.4\t7\n", []string{"ip 1.2.3.4"}, nil, 0},
		"hosts file": {"hosts", "127.0.0.1 localhost\n0.0.0.0 evil.org ads.evil.org # x\n::1\tip6-localhost\nnonsense\n", []string{"domain evil.org", "domain ads.evil.org"},
			[]string{"1 false " + OneLabel, "3 false " + OneLabel, "4 true line that does not begin with an address"}, 0},
		"Zeek: types, empty meta, kinds that are not matched": {
			"zeek", "#fields\tindicator\tindicator_type\tmeta.source\tmeta.do_notice\tmeta.desc\n1.2.3.0/24\tIntel::SUBNET\ts\tF\t-\nevil.org/x\tIntel::URL\ts\tF\t\nx@y.org\tIntel::EMAIL\ts\tF\td\n",
			[]string{"ip 1.2.3.0/24", "url evil.org/x"}, []string{"4 false " + OtherType}, 0,
		},
		"Tranco":                    {"tranco", "1,google.com\n2,facebook.com\n", []string{"domain google.com", "domain facebook.com"}, nil, 0},
		"warninglist: leading dots": {"warninglist", `{"name":"n","type":"hostname","list":[".ddns.net"],"matching_attributes":["domain"]}`, []string{"domain ddns.net"}, nil, 0},
		"warninglist: a list of substrings would clear too much": {"warninglist", `{"name":"n","type":"substring","list":["a.b"]}`, nil, []string{"1 false list of type substring"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustRead(t, preset(c.preset), c.text)
			if !slices.Equal(b.taken, c.taken) || !slices.Equal(b.left, c.left) || b.declared != c.declared {
				t.Errorf("took %q, left %q, declared %d", b.taken, b.left, b.declared)
			}
		})
	}
}

// What is kept of an indicator beside its value.
func TestDetailsAreKept(t *testing.T) {
	fox := mustRead(t, preset("threatfox"), threatFoxHead+
		`"2026-01-02 03:04:05", "3", "evil.org", "domain", "botnet_cc", "win.x", "None", "Cobalt Strike", "2026-01-03 00:00:00", "100", "True", "https://x.org/r", "a, b", "0", "r"`+"\n").details[0]
	want := Detail{Name: "Cobalt Strike", ID: "3", Reference: "https://x.org/r", Tags: "a,b,compromised", Confidence: 49, FirstSeen: 1767323045, LastSeen: 1767398400}
	if fox.Detail != want {
		t.Errorf("%+v", fox.Detail)
	}
	haus := mustRead(t, preset("urlhaus"), `{"9":[{"dateadded":"2022-12-16 04:05:06 UTC","url":"http://evil.org/x","threat":"malware_download","tags":["elf","32"],"urlhaus_link":"l"}]}`).details[0]
	want = Detail{Name: "malware_download", ID: "9", Reference: "l", Tags: "elf,32", FirstSeen: 1671163506}
	if haus.Detail != want {
		t.Errorf("%+v", haus.Detail)
	}
	if got := mustRead(t, preset("ipsum"), "1.2.3.4\t3\n1.2.3.5\t1\n1.2.3.6\t10\n").details; got[0].Confidence != 50 || got[1].Confidence != 20 || got[2].Confidence != 95 {
		t.Errorf("%+v", got)
	}
}

// A user's own forms, with the fields they name.
func TestOwnForms(t *testing.T) {
	fields := map[string]string{"value": "ioc", "type": "kind", "confidence": "score", "valid_until": "until", "tlp": "tlp", "attack": "ttp", "tags": "tags"}
	csv := mustRead(t, Settings{Preset: "csv", Fields: fields}, "IOC, kind, score, until, tlp, ttp, tags\n\"evil.org\",domain,high,2027-01-01T00:00:00Z,TLP:AMBER+STRICT,\"T1566,T1059\",\"one\ntwo\"\n1.2.3.4,ip,7.5,,,,\n\n1.2.3.4,ip,700,,,,\nopen,\"ip,1,,,,\n5.6.7.8,ip,,,,,\n")
	if !slices.Equal(csv.taken, []string{"domain evil.org", "ip 1.2.3.4", "ip 5.6.7.8"}) || !slices.Equal(csv.left, []string{"6 true " + BadNumber, "7 true " + Unclosed}) {
		t.Errorf("%q %q", csv.taken, csv.left)
	}
	if d := csv.details[0].Detail; d.TLP != "amber" || d.Attack != "T1566,T1059" || d.Confidence != 85 || d.ValidUntil != 1798761600 || d.Tags != "one\ntwo" {
		t.Errorf("%+v", d)
	}
	tsv := mustRead(t, Settings{Preset: "tsv", Kind: JA3, Header: []string{"md5", "name"}, Fields: map[string]string{"value": "md5", "name": "name"}}, "6734f37431670b3ab4292b8f60f29984\ta \"quoted\" name\n\tx\n")
	if len(tsv.taken) != 1 || tsv.details[0].Name != `a "quoted" name` || !slices.Equal(tsv.left, []string{"2 false " + NoValue}) {
		t.Errorf("%q %q", tsv.taken, tsv.left)
	}
	deep := map[string]string{"value": "indicator.value", "name": "names|alias", "id": "@key"}
	doc := mustRead(t, Settings{Preset: "json", Rows: "data.*.items.*", Fields: deep}, `{"skip":[1,{"a":[]}],"data":{"k1":{"items":[{"indicator":{"value":"evil.org"},"alias":"A"},{"indicator":7}]},"k2":{"items":[]}}}`)
	if !slices.Equal(doc.taken, []string{"auto evil.org"}) || doc.details[0].Name != "A" || doc.details[0].ID != "k1" || len(doc.left) != 1 {
		t.Errorf("%q %+v %q", doc.taken, doc.details, doc.left)
	}
	words := mustRead(t, Settings{Preset: "json", Fields: map[string]string{"value": "@"}}, `["evil.org","1.2.3.4:80"]`)
	if !slices.Equal(words.taken, []string{"auto evil.org", "ip 1.2.3.4 port 80"}) {
		t.Errorf("%q", words.taken)
	}
	nd := mustRead(t, Settings{Preset: "ndjson", Fields: map[string]string{"value": "v"}}, "{\"v\":\"evil.org\"}\n\n{\"v\":\"a.org\"} {}\n{\"v\":null}\n")
	if !slices.Equal(nd.taken, []string{"auto evil.org"}) || !slices.Equal(nd.left, []string{"3 true " + BadJSON, "4 false " + NoValue}) {
		t.Errorf("%q %q", nd.taken, nd.left)
	}
}

// The re-exported SSLBL list has its columns in another order and its dates in
// another form: no date is taken for a hash, whichever way it is read.
func TestColumnsAreBoundByName(t *testing.T) {
	text := "\ufeffSHA1,ListingReason,ListingDate\r\n19e664f09401bf648b6ea57719e34ad795f3b6cb,AsyncRAT C&C,12/22/2023 6:58\r\n"
	b := mustRead(t, preset("sslbl_certs"), text)
	if len(b.taken) != 0 || !slices.Equal(b.left, []string{"2 true " + BadTime}) {
		t.Errorf("%q %q", b.taken, b.left)
	}
	b = mustRead(t, Settings{Preset: "csv", Kind: Cert, Fields: map[string]string{"value": "sha1", "name": "listingreason"}}, text)
	if !slices.Equal(b.taken, []string{"cert_sha1 19e664f09401bf648b6ea57719e34ad795f3b6cb"}) || b.details[0].Name != "AsyncRAT C&C" {
		t.Errorf("%q %+v", b.taken, b.details)
	}
}

// A document that is not of the form is refused as a whole, in words.
func TestOtherFormsAreRefused(t *testing.T) {
	for _, c := range []struct{ preset, text, want string }{
		{"lines", `{"a":1}`, "is JSON"},
		{"stix", "1.2.3.4\n", "is not JSON"},
		{"stix", `{"type":"bundle","objects":[{"type":"indicator"`, "unexpected EOF"},
		{"stix", `{"a":1}`, "is no STIX bundle"},
		{"misp", `{"response":[]}`, "is not a MISP event"},
		{"warninglist", `{"name":"x"}`, "is not a MISP warninglist"},
		{"urlhaus", `{"1":[{"url":"http://a.org/"},`, "is broken JSON"},
		{"sslbl_ja3", "b386946a5a44d1ddcc843bc75336dfce,2017-07-14 18:08:15,2019-07-27 20:42:54,Dridex\n", "has no header line that names ja3_md5"},
		{"zeek", "1.2.3.4\tIntel::ADDR\n", "has no header line"},
		{"threatfox", "<html>", "HTML"},
		{"openphish", "\x00\x01", "binary"},
		{"firehol", " \n", "is empty"},
	} {
		if _, err := read(preset(c.preset), c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.preset, c.text, err, c.want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for want, s := range map[string]Settings{
		`preset: "nope" is not one of lines, csv`:   {Preset: "nope"},
		"fields: must say which column":             {Preset: "csv"},
		`fields: "color" is not one of value, type`: {Preset: "csv", Fields: map[string]string{"value": "v", "color": "c"}},
		"preset: feodo has its own fields":          {Preset: "feodo", Rows: "*"},
	} {
		if _, err := NewDecoder(s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, name := range strings.Split(presetNames, "|") {
		s := preset(name)
		if slices.Contains([]string{"csv", "tsv", "json", "ndjson"}, name) {
			s.Fields = map[string]string{"value": "v"}
		}
		if _, err := NewDecoder(s); err != nil {
			t.Error(err)
		}
	}
}
