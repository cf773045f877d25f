package reputation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// sensed makes an event of a sensor's record and asks about it.
func sensed(t testing.TB, x *Index, record string) *enrich.Event {
	t.Helper()
	e := &enrich.Event{}
	if err := e.ParseSensor([]byte(record)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	if err := New(NewStore(x)).Enrich(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// placed are the matches as "field=value seen direction".
func placed(threats []enrich.Threat) []string {
	all := []string{}
	for _, t := range threats {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s=%s %s%s", t.Field, t.Atomic, t.SeenIn, t.Direction)))
	}
	return all
}

func TestEverythingASensorSawIsAskedAbout(t *testing.T) {
	x, _ := load(t, feedOf(t, "list", badList+"198.51.100.9\n"), typed(t, "ja3", "ja3", someJA3+"\n"), typed(t, "ja3s", "ja3s", someJA3+"\n"),
		typed(t, "ja4", "ja4", someJA4+"\n"), typed(t, "cert", "cert_sha1", someCert+"\n"), typed(t, "jarm", "jarm", someJARM+"\n"))
	const ends = `"ts":1588205199.5,"uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":4000,"id.resp_h":"192.0.2.8","id.resp_p":443,`
	for _, c := range []struct {
		name, record string
		want         []string
	}{
		{"server name", `{"_path":"ssl",` + ends + `"server_name":"CDN.evil.org"}`, []string{"tls.client.server_name=CDN.evil.org outbound"}},
		{"server address", `{"_path":"ssl",` + ends + `"server_name":"1.2.3.4"}`, []string{"tls.client.server_name=1.2.3.4 outbound", "tls.client.server_name=1.2.3.4 outbound"}},
		{"fingerprints", `{"_path":"ssl",` + ends + `"ja3":"` + strings.ToUpper(someJA3) + `","ja3s":"` + someJA3 + `","ja4":"` + someJA4 + `"}`, []string{
			"tls.client.ja3=" + strings.ToUpper(someJA3) + " outbound", "tls.server.ja3s=" + someJA3 + " outbound", "tls.client.ja4=" + someJA4 + " outbound",
		}},
		{"a server's fingerprint", `{"_path":"ssl",` + ends + `"jarm":"` + someJARM + `"}`, []string{"tls.server.jarm=" + someJARM + " outbound"}},
		{
			"certificate", `{"timestamp":"2026-01-02T03:04:05.000000+0000","event_type":"tls","src_ip":"10.0.0.1","src_port":4,"dest_ip":"192.0.2.8","dest_port":443,"proto":"TCP",` +
				`"tls":{"fingerprint":"05:7B:20:A5:A4:B9:EA:BB:1A:1B:1F:1D:8F:5F:5B:7A:3E:0F:B9:C6"}}`,
			[]string{"tls.server.hash.sha1=05:7B:20:A5:A4:B9:EA:BB:1A:1B:1F:1D:8F:5F:5B:7A:3E:0F:B9:C6 outbound"},
		},
		{"host with a port", `{"_path":"http",` + ends + `"trans_depth":1,"host":"evil.org:8080","uri":"/evil.org"}`, []string{"url.domain=evil.org outbound"}},
		{"path alone", `{"_path":"http",` + ends + `"trans_depth":1,"host":"good.org","uri":"http://evil.org/a.sh"}`, []string{}},
		{"answers", `{"_path":"dns",` + ends + `"query":"a.example","answers":["x.evil.org","1.2.3.9","TXT 9 evil.org"],"TTLs":[1,2,3]}`, []string{
			"dns.answers.data=x.evil.org outbound", "dns.answers.data=1.2.3.9 outbound",
		}},
		{"the origin", `{"_path":"conn","ts":1,"uid":"C","id.orig_h":"198.51.100.9","id.orig_p":1,"id.resp_h":"10.0.0.1","id.resp_p":22,"conn_state":"SF"}`, []string{"source.ip=198.51.100.9 inbound"}},
		{"the origin that got no answer", `{"_path":"conn","ts":1,"uid":"C","id.orig_h":"198.51.100.9","id.resp_h":"10.0.0.1","conn_state":"S0"}`, []string{"source.ip=198.51.100.9 failed"}},
		{"no answer", `{"_path":"conn","ts":1,"uid":"C","id.orig_h":"10.0.0.1","id.resp_h":"198.51.100.9","conn_state":"REJ"}`, []string{"destination.ip=198.51.100.9 failed"}},
	} {
		if got := placed(sensed(t, x, c.record).Threats); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestAMatchTellsWhoBeganAndWhereTheValueStood(t *testing.T) {
	x, _ := load(t, feedOf(t, "list", "1.2.3.4\nevil.org\n"), typed(t, "paths", "path", "/tmp/.x/miner\n"))
	for _, c := range []struct{ query, columns, want string }{
		{"socket_events", `"action":"connect","pid":"1","status":"in_progress","remote_address":"1.2.3.4","remote_port":"443"`, "destination.ip=1.2.3.4 outbound"},
		{"socket_events", `"action":"connect","pid":"1","status":"failed","remote_address":"1.2.3.4","remote_port":"443"`, "destination.ip=1.2.3.4 failed"},
		{"socket_events", `"action":"accept","pid":"1","status":"succeeded","remote_address":"1.2.3.4","remote_port":"443"`, "source.ip=1.2.3.4 inbound"},
		{"process_open_sockets", `"pid":"1","remote_address":"1.2.3.4","remote_port":"4","local_port":"5","state":"ESTABLISHED"`, "destination.ip=1.2.3.4"},
		{"logged_in_users", `"user":"ada","host":"1.2.3.4","tty":"pts/0","pid":"4","time":"5","type":"user"`, "source.ip=1.2.3.4 inbound"},
		{"process_events", `"pid":"1","path":"/usr/bin/ssh","cmdline":"ssh u@evil.org"`, "process.command_line=evil.org command_line"},
		{"es_process_file_events", `"pid":"1","parent":"2","path":"/bin/mv","filename":"/tmp/a","dest_filename":"/tmp/.x/miner","event_type":"rename"`, "file.path=/tmp/.x/miner"},
		{"ntfs_journal_events", `"path":"a","old_path":"/tmp/.x/miner","record_usn":"1","node_ref_number":"1","drive_letter":"C"`, "file.path=/tmp/.x/miner"},
	} {
		if got := placed(enriched(t, x, c.query, c.columns).Threats); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
}

// What a join says of the other end is asked about as firmly as the join says it.
func TestNamesOfTheOtherEndAreAskedAbout(t *testing.T) {
	x, _ := load(t, feedOf(t, "list", "evil.org\n"))
	e := eventOf(t, "socket_events", `"action":"connect","pid":"1","remote_address":"192.0.2.1","remote_port":"443"`)
	for status, want := range map[enrich.NameStatus]string{
		enrich.Attributed: "destination.domain=cdn.evil.org outbound", enrich.Candidate: "dns.candidates.name=cdn.evil.org candidate_nameoutbound",
	} {
		e.Threats = nil
		e.Names = []enrich.Name{{Name: "cdn.evil.org", Status: status, Source: enrich.FromDNS}, {Name: "good.org", Status: status, Source: enrich.FromDNS}}
		if err := New(NewStore(x)).Enrich(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if got := placed(e.Threats); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
}

// A TLS client whose fingerprint malware and honest programs share shows both
// opinions in the record, with the little confidence that is left.
func TestAZeekLineWithASharedFingerprintShowsBothOpinions(t *testing.T) {
	dir := testdata.Dir(t)
	apps := realFeeds()[5].feed(dir)
	apps.Role = "label"
	x, _ := load(t, realFeeds()[4].feed(dir), apps)
	p := enrich.NewPipeline(event.NewLenses(), nil, []enrich.Enricher{New(NewStore(x))})
	var out enrich.Out
	in := enrich.Input{Sensor: true, Position: enrich.Position{Topic: "zeek"}, Value: []byte(`{"_path":"ssl","ts":1588205199.5,"uid":"C1","id.orig_h":"10.0.0.1",` +
		`"id.orig_p":4000,"id.resp_h":"192.0.2.8","id.resp_p":443,"ja3":"f6fd83a21f9f3c5f9ff7b5c63bbc179d","established":true}`)}
	if err := p.Process(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	got := out.Outputs[0].Value
	schematest.Validate(t, enrich.SchemaEnriched, got)
	for _, want := range []string{
		`"description":"Adware"`, `"labels":["osx-nix-ja3.csv: Alation Compose"]`, `"field":"tls.client.ja3"`, `"direction":"outbound"`, `"confidence":"Low"`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}
