package reputation

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"hash/maphash"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// decode reads text as Load would, without the limits on refused rows.
func decode(t testing.TB, f Feed, text []byte) (*builder, error) {
	t.Helper()
	d, err := f.decoder()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := feed.NewText(context.Background(), "f", bytes.NewReader(text), sha256.New(), 1<<30)
	if err != nil {
		return nil, err
	}
	b := newBuilder(f, maphash.MakeSeed())
	if err = d.Read(lines, b); err == nil {
		err = d.Finish(b)
	}
	return b, err
}

func reasons(b *builder) map[string]int {
	all := map[string]int{}
	for _, r := range b.refusals.reasons {
		all[r.Reason] = r.Count
	}
	return all
}

func TestLinesRefuse(t *testing.T) {
	for _, c := range []struct{ row, typ, reason string }{
		{"1.2.3[.]4", "auto", isDefanged},
		{"hxxp://evil.org/a", "auto", isDefanged},
		{"evil[.]org", "auto", isDefanged},
		{"evil(.)org", "auto", isDefanged},
		{"hxxps[://]evil.org/", "auto", isDefanged},
		{"01.2.3.4", "auto", isNothing},
		{"1.2.3.4/33", "auto", isNothing},
		{"not", "auto", isNothing},
		{"*.evil.org", "auto", isNothing},
		{"d41d8cd98f00b204e9800998ecf8427", "auto", isNothing},
		{"http:///nohost", "auto", isNothing},
		{"127.0.0.1 evil.org", "auto", feed.Words},
		{"4.0.0.0/7", "auto", isWide},
		{"0.0.0.0/0", "auto", isWide},
		{"2000::/15", "auto", isWide},
		{"d41d8cd98f00b204e9800998ecf8427e", "auto", isEmptyFile},
		{"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "auto", isEmptyFile},
		{"evil.org", "ip", "domain in a feed of type ip"},
		{"1.2.3.4", "hash", "ip in a feed of type hash"},
		{strings.Repeat("a", 64<<10) + ".org", "auto", feed.TooLong},
	} {
		f := NewFeed("f", "f")
		f.Type = c.typ
		b, err := decode(t, f, []byte("# head\n"+c.row+"\n8.8.8.8\n"))
		if err != nil {
			t.Fatalf("%.40q: %v", c.row, err)
		}
		if got := reasons(b); got[c.reason] == 0 || b.refusals.reasons[0].Examples[0].Line != 2 {
			t.Errorf("%.40q: refused as %v at %v, want %q in line 2", c.row, got, b.refusals.reasons, c.reason)
		}
	}
}

func TestLinesTake(t *testing.T) {
	text := "\ufeff# Entries : 1,3\r\n; a\r\n// b\r\n\r\n1.2.3.4\t7\tx\r\n1.2.4.0/22 ; SBL1\r\n::ffff:5.6.7.8 # mapped\r\n2a00:bad::/32\r\n" +
		"EVIL.Org.\r\nhttp://u:p@EVIL.org:80/a#frag\r\n44D88612FEA8A8F36DE82E1278ABB02F\r\n10.1.2.3\r\n172.0.0.0/8\r\nhttp://192.168.0.1/x\r\n" +
		"1.2.3.4\t7\r\ngithub.io\r\nco.uk"
	b, err := decode(t, NewFeed("f", "f"), []byte(text))
	if err != nil || b.refusals.count > 0 {
		t.Fatal(err, b.refusals)
	}
	if b.rows != 13 || b.private != 3 || b.declared != 13 || len(b.v4) != 4 || len(b.v6) != 1 || len(b.keys) != 5 {
		t.Fatalf("rows %d private %d declared %d v4 %v v6 %v keys %d", b.rows, b.private, b.declared, b.v4, b.v6, len(b.keys))
	}
	x := &Index{tables: []*table{b.table()}, seed: b.seed}
	if got := x.Entries(); got != 9 {
		t.Errorf("%d entries, want 9: a row that is repeated counts once", got)
	}
	for _, hit := range askAddress(x, "1.2.3.4", 0) {
		if hit.Reports != 7 || hit.Provenance != "f:5" {
			t.Errorf("%+v: want 7 reports from line 5", hit)
		}
	}
	if got := told(askAddress(x, "1.2.5.1", 0)); !slices.Equal(got, []string{"1.2.4.0/22 prefix"}) {
		t.Error(got)
	}
	if got := told(askDomain(x, "someone.github.io")); got != nil {
		t.Errorf("%v: a company's public suffix must not flag its users", got)
	}
	if got := told(askDomain(x, "github.io")); len(got) != 1 {
		t.Error("a company's public suffix is not found as itself")
	}
}

func TestFeodoRows(t *testing.T) {
	const head = "\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\r\n"
	f := NewFeed("feodo", "feodo.csv")
	f.Preset = "feodo"
	b, err := decode(t, f, []byte("# x\r\n"+head+
		"\"2024-04-04 07:03:03\",\"172.233.221.61\",\"5938\",\"offline\",\"2024-04-04\",\"Pikabot\"\r\n"+
		"\"2024-04-04 07:03:03\",\"172.233.221.61\",\"0\",\"offline\",\"2024-04-04\",\"Pikabot\"\n"+
		"\"yesterday\",\"172.233.221.61\",\"1\",\"offline\",\"2024-04-04\",\"Pikabot\"\n"+
		"\"2024-04-04 07:03:03\",\"evil.org\",\"1\",\"offline\",\"2024-04-04\",\"Pikabot\"\n"+
		"\"2024-04-04 07:03:03\",\"1.2[.]3.4\",\"1\",\"offline\",\"2024-04-04\",\"Pikabot\"\n"+
		"\"2024-04-04 07:03:03\",\"1.2.3.4\",\"1\"\n\"open,1.2.3.4\n# END 7 entries"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{feed.BadPort: 1, feed.BadTime: 1, "domain in a feed of type ip": 1, isDefanged: 1, feed.Columns: 1, feed.Unclosed: 1}
	if got := reasons(b); len(got) != len(want) || b.rows != 7 || b.declared != 7 {
		t.Errorf("refused %v of %d rows, declared %d", got, b.rows, b.declared)
	}
	x := &Index{tables: []*table{b.table()}, seed: b.seed}
	for port, want := range map[uint16]string{5938: howPort, 0: howNoPort, 5939: ""} {
		got := askAddress(x, "172.233.221.61", port)
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].How != want || got[0].Name != "Pikabot" || !slices.Equal(got[0].Tags, []string{"Pikabot"}) ||
			got[0].Port != 5938 || !got[0].FirstSeen.Equal(time.Date(2024, 4, 4, 7, 3, 3, 0, time.UTC)) {
			t.Errorf("port %d: %+v, want %q", port, got, want)
		}
	}
	if _, err := decode(t, f, []byte("\"2024-04-04 07:03:03\",\"1.2.3.4\",\"1\"\n")); err == nil {
		t.Error("a CSV without a header was taken")
	}
	if b, err := decode(t, f, []byte("# comment\n"+head+"# END 0 entries")); err != nil || b.checkDocument() != nil || b.check() != nil {
		t.Error("a Feodo list without rows is a good list:", err)
	}
}

// TestRealFeeds reads what the feeds' owners wrote.
func TestRealFeeds(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "feeds")
	ipsum, firehol, feodo := NewFeed("ipsum", filepath.Join(dir, "ipsum.txt")), NewFeed("firehol", filepath.Join(dir, "firehol_level1.netset")), NewFeed("feodo", filepath.Join(dir, "ipblocklist.csv"))
	feodo.Preset = "feodo"
	x, report := load(t, ipsum, firehol, feodo)
	for i, want := range []struct{ rows, least, private int }{{29993, 29990, 0}, {2892, 2879, 13}, {28, 28, 0}} {
		f := report.Feeds[i]
		if f.Rows != want.rows || f.Refused != 0 || f.Private != want.private || f.Entries+f.Private > f.Rows || f.Entries < want.least || len(f.Generation) != 16 {
			t.Errorf("%+v, want %+v", f, want)
		}
	}
	top := askAddress(x, "77.90.185.20", 0)
	if len(top) == 0 || top[0].Feed != "ipsum" || top[0].Reports != 10 || top[0].Provenance != "ipsum.txt:8" {
		t.Errorf("IPsum's first: %+v", top)
	}
	for _, inner := range []string{"10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.5.5", "100.64.0.1", "224.0.0.251"} {
		if got := askAddress(x, inner, 0); got != nil {
			t.Errorf("%s is on %v", inner, told(got))
		}
	}
}

// TestWrongFeeds gives decoders other feeds' files: they must not load quietly.
func TestWrongFeeds(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "feeds")
	for _, c := range []struct{ file, preset string }{
		{"ipblocklist.csv", "lines"}, {"ipsum.txt", "feodo"}, {"sslblacklist.csv", "lines"}, {"drop_v4.json", "lines"}, {"sslblacklist.csv", "feodo"}, {"sslblacklist.csv", "sslbl_certs"},
		{"ja3_fingerprints.csv", "sslbl_certs"}, {"drop_v4.json", "stix"}, {"ipsum.txt", "zeek"}, {"ipsum.txt", "hosts"},
	} {
		f := NewFeed("f", filepath.Join(dir, c.file))
		f.Preset = c.preset
		if _, report := Load(context.Background(), []Feed{f}, nil); report.Err() == nil {
			t.Errorf("%s loaded as %s", c.file, c.preset)
		}
	}
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"1.2.3.4\t3\n", "# Entries : 9\n1.2.3.0/24 ; x\nevil.org\nhttp://[::1]:80/%41\n", "\xef\xbb\xbf::1\r\n", "a\n\x00", zipped(f, "1.2.3.4\n")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { fuzzed(t, "lines", text) })
}

func FuzzFeodo(f *testing.F) {
	const head = "first_seen_utc,dst_ip,dst_port,last_online,malware\n"
	for _, s := range []string{head + "2024-04-04 07:03:03,1.2.3.4,5,2024-04-04,x\n", "#" + head + "\"a\"\"b\",,\"\n# END 2 entries"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { fuzzed(t, "feodo", text) })
}

// fuzzed checks what holds for any text: each row is counted once, what was taken
// is found again, and under its own name.
func fuzzed(t *testing.T, preset string, text []byte) {
	f := NewFeed("f", "f")
	f.Preset = preset
	b, err := decode(t, f, text)
	if err != nil {
		return
	}
	taken := len(b.v4) + len(b.v6) + len(b.keys) + len(b.globs)
	if taken+b.refusals.count+b.skips.count+b.private != b.rows {
		t.Fatalf("%d taken, %d refused, %d private of %d rows", taken, b.refusals.count, b.private, b.rows)
	}
	v4, keys := slices.Clone(b.v4), slices.Clone(b.keys)
	x := &Index{tables: []*table{b.table()}, seed: b.seed}
	for _, s := range v4 {
		if x.Address(nil, addr4(s.start), 0, time.Time{}) == nil {
			t.Fatalf("%v is not found", addr4(s.start))
		}
	}
	for _, k := range keys {
		listed := b.texts[k.from:][:k.size]
		if x.Domain(nil, listed, time.Time{}) == nil && x.URL(nil, listed, time.Time{}) == nil && x.Hash(nil, listed, time.Time{}) == nil {
			t.Fatalf("%q is not found", listed)
		}
	}
}
