package schemas_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

var update = flag.Bool("update", false, "write the samples anew")

const (
	agent = "6f1c9b1e-7d5c-4c55-9d6e-000000000001"
	run   = "00ff00ff00ff00ff"
	head  = `"name":"pack_linux_socket_events","hostIdentifier":"ip-10-0-3-17","calendarTime":"Mon Nov 23 10:11:20 2026 UTC","unixTime":1795428680,"epoch":0,"counter":57,"numerics":false`
	host  = `,"decorations":{"host_uuid":"48754d56-277e-7cb6-dd7b-f58673f0c7fd"}`
)

func at(second int) time.Time {
	return time.Date(2026, 11, 23, 10, 11, second, 305_000_000, time.UTC)
}

// shipped is record i of a call as logger-ext ships it.
func shipped(t *testing.T, call string, i int) []byte {
	t.Helper()
	rows, err := event.SplitResult([]byte(call))
	if err != nil {
		t.Fatal(err)
	}
	d := event.Delivery{Agent: agent, Run: run, Seq: 1042, Row: i, Rows: rows.Len(), Prev: run + "/1040", Spooled: at(20)}
	return event.AppendDelivery(rows.AppendRow(nil, i), &d)
}

func rowSamples(t *testing.T) map[string][]byte {
	const batch = `{"diffResults":{"removed":[{"pid":"1"}],"added":[{"pid":"2"}]},` + head + host + `}`
	return map[string][]byte{
		"row-event.json":          shipped(t, `{`+head+host+`,"columns":{"action":"connect","pid":"30219","remote_address":"198.51.100.23"},"action":"added"}`, 0),
		"row-removed.json":        shipped(t, batch, 0),
		"row-added.json":          shipped(t, batch, 1),
		"row-snapshot.json":       shipped(t, `{"snapshot":[{"pid":"1"},{"pid":"2"}],"action":"snapshot",`+head+host+`}`, 1),
		"row-empty-snapshot.json": shipped(t, `{"snapshot":[],"action":"snapshot",`+head+host+`}`, 0),
		"row-empty-diff.json":     shipped(t, `{"diffResults":{"removed":[],"added":[]},`+head+host+`}`, 0),
		"row-numeric.json":        shipped(t, `{"name":"q","unixTime":1795428680,"numerics":true,"columns":{"pid":30219,"load":0.5},"action":"added"}`, 0),
		"row-top-level.json":      shipped(t, `{"name":"q","hostIdentifier":"h","unixTime":"overwritten","region":"eu-west-1","columns":{"pid":"1"},"action":"added"}`, 0),
		"row-aws.json":            shipped(t, `{"name":"q","unixTime":"1795428680","epoch":"0","counter":"1","numerics":"false","columns":"","action":"added","log_type":"result"}`, 0),
		"row-escaped.json":        shipped(t, "{\"snapshot\":[{\"path\":\"/tmp/\xff\"}],\"name\":\"q\"}", 0),
	}
}

func statusSamples(t *testing.T) map[string][]byte {
	rows, err := event.SplitStatus([]byte("[{\"s\":1,\"f\":\"decorators.cpp\",\"i\":217,\"m\":\"Invalid decorator interval rate 10\",\"h\":\"vm\"," +
		"\"c\":\"Mon Nov 23 10:11:18 2026 UTC\",\"u\":1795428678},{\"s\":0,\"m\":\"bad \xff byte\"}]"))
	if err != nil {
		t.Fatal(err)
	}
	d := event.Delivery{Agent: agent, Run: run, Seq: 1, Rows: 2, Spooled: at(18)}
	first := event.AppendDelivery(rows.AppendRow(nil, 0, "5.23.1"), &d)
	d.Row = 1
	return map[string][]byte{
		"status-osqueryd.json": first,
		"status-escaped.json":  event.AppendDelivery(rows.AppendRow(nil, 1, ""), &d),
	}
}

func markerSamples(*testing.T) map[string][]byte {
	named := func(m event.Marker, d event.Delivery) []byte {
		d.Agent, d.Run, d.Prev, d.Spooled = agent, run, run+"/1040", at(20)
		return event.AppendDelivery(m.Append(nil), &d)
	}
	return map[string][]byte{
		"gap-dropped.json":      named(event.Marker{Reason: "dropped", Policy: "drop_oldest", From: 1041, Calls: 57, Bytes: 1 << 20}, event.Delivery{Seq: 1102, Rows: 1}),
		"gap-damaged.json":      named(event.Marker{Reason: "damaged", From: 1041, Calls: 2, Possible: true}, event.Delivery{Seq: 1042, Rows: 1}),
		"gap-oversized.json":    named(event.Marker{Reason: "oversized", Bytes: 2_000_000}, event.Delivery{Seq: 1042, Row: 3, Rows: 10}),
		"gap-unregistered.json": named(event.Marker{Reason: "unregistered", Since: at(3), Until: at(9)}, event.Delivery{Seq: 1042, Rows: 1}),
	}
}

func heartbeatSamples(*testing.T) map[string][]byte {
	h := event.Beat{
		Version: "1.0.0", Config: "9f86d081884c", ConfigState: "ok", Clock: at(20), Started: at(1),
		Spool: event.SpoolDepth{Bytes: 123456, Calls: 7, Oldest: at(19)}, Lost: map[string]uint64{"drop_oldest": 57},
	}
	idle := event.Beat{Version: "dev", ConfigState: "none", Clock: at(20), Started: at(1)}
	d := event.Delivery{Agent: agent, Run: run, Seq: 1042, Rows: 1, Prev: run + "/1040", Spooled: at(20)}
	return map[string][]byte{
		"heartbeat-busy.json": event.AppendDelivery(h.Append(nil), &d), "heartbeat-idle.json": event.AppendDelivery(idle.Append(nil), &d),
	}
}

func deadLetterSamples(*testing.T) map[string][]byte {
	name := event.Delivery{Agent: agent, Run: run, Seq: 1042, Row: -1}
	malformed := event.DeadLetter{
		Reason: "malformed", Message: "byte 0: expected an object", Source: event.AppendName(nil, &name),
		Time: at(21), Original: []byte("no \xff JSON"), Whole: 1 << 20,
	}
	name.Row = 3
	oversized := event.DeadLetter{
		Reason: "oversized", Message: "the record has 2000000 bytes, its topic takes 1048588", Source: event.AppendName(nil, &name),
		Time: at(21), Original: bytes.Repeat([]byte("x"), 2_000_000), Part: 32, File: "/var/lib/stackjoin/refused/1042",
	}
	read := malformed
	read.Source = []byte(`"topic":"osquery.results","partition":3,"offset":1234567`)
	return map[string][]byte{
		"deadletter-malformed.json": malformed.Append(nil), "deadletter-oversized.json": oversized.Append(nil), "deadletter-read.json": read.Append(nil),
	}
}

// observed is a sensor's record as the pipeline leaves it.
func observed(t *testing.T, record string) []byte {
	t.Helper()
	e := &enrich.Event{TimeSource: enrich.TimeColumn, Time: at(11), ID: "ssl.log:9", Position: enrich.Position{File: "ssl.log", Line: 9}}
	if err := e.ParseSensor([]byte(record)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	e.AddGap("host", enrich.HostUnknown)
	return enrich.AppendEnriched(nil, e, at(23))
}

// known is an event as the joins leave it.
func known(t *testing.T, row []byte, change func(*enrich.Event)) []byte {
	t.Helper()
	e := &enrich.Event{TimeSource: enrich.TimeColumn, Time: at(11), Host: agent, ID: agent + "/" + run + "/1042/0"}
	if err := e.Row.Parse(row); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	e.Position = enrich.Position{Topic: "osquery.results", Partition: 3, Offset: 1234567}
	e.Appended = at(22)
	change(e)
	return enrich.AppendEnriched(nil, e, at(23))
}

func enrichedSamples(t *testing.T) map[string][]byte {
	process := enrich.Process{EntityID: "5f2a", PID: 30219, Executable: "/usr/bin/curl", CommandLine: "curl -s https://198.51.100.23/x", WorkingDirectory: "/tmp", Start: at(10), UserID: "1000"}
	for i, path := range []string{"/usr/bin/bash", "/usr/sbin/sshd", "/usr/lib/systemd/systemd"} {
		process.Ancestors = append(process.Ancestors, enrich.Process{EntityID: "5f2" + string(rune('b'+i)), PID: int64(900 - i), Executable: path, CommandLine: strings.Repeat(path+" ", 20), Inferred: i == 2})
	}
	process.UserName, process.ContainerID = "alice", strings.Repeat("0a", 32)
	process.Previous = []enrich.Process{{EntityID: "5f29", Executable: "/bin/sh", CommandLine: "sh -c curl", Start: at(9)}}
	login := enrich.Login{ID: "77aa", PID: 880, UserID: "1000", UserName: "alice", Terminal: "pts/0", Remote: "198.51.100.77", Start: at(2)}
	session := enrich.Session{
		How: enrich.SessionByPID, Login: login, AuditUserID: "1000", AuditUserName: "alice",
		Hops: []enrich.Hop{{EntityID: "5f2b", PID: 900, Executable: "/usr/bin/sudo", CommandLine: "sudo -i", From: "1000", FromName: "alice", To: "0", ToName: "root"}},
	}
	threat := enrich.Threat{
		Indicator: "198.51.100.23", Type: "ipv4-addr", Field: "destination.ip", Atomic: "198.51.100.23", How: "exact", Feed: "feodo", Generation: "9c1f",
		Confidence: 80, Name: "Emotet", Reference: "https://feodotracker.abuse.ch/", Tags: []string{"c2"}, FirstSeen: at(1), LastSeen: at(2),
		Port: 443, Reports: 4, TLP: "amber", Provenance: "feodo.csv:12",
		ID: "indicator--1", Event: "0dbb179a-1c8c-4e7c-a264-2440414dbac8", Techniques: []string{"T1566"}, ValidFrom: at(20), ValidUntil: at(50), BeforeValidFrom: true,
		Role: "block", SuppressedBy: "own: 198.51.100.23", DowngradedBy: "top: 198.51.100.23", Labels: []string{"sinkholes: List of known sinkholes"},
	}
	socket := shipped(t, `{`+head+host+`,"columns":{"action":"connect","pid":"30219","path":"/usr/bin/curl","local_address":"10.0.3.17","local_port":"40000",`+
		`"protocol":"6","remote_address":"198.51.100.23","remote_port":"443","status":"succeeded","time":"1795428671"},"action":"added"}`, 0)
	foreign := []byte(`{"name":"pack_incident-response_last","columns":{"host":"10.0.2.2","username":"vagrant","tty":"pts/0","pid":"12"},"action":"added","log_type":"result"}`)
	file := []byte(`{"name":"file_events","unixTime":1795428680,"columns":{"target_path":"/tmp/x","action":"CREATED","md5":"d41d8cd98f00b204e9800998ecf8427e","sha256":"e3b0c4"},"action":"added"}`)
	dns := []byte(`{"name":"dns_lookup_events","columns":{"name":"example.com","pid":"7","username":"SYSTEM"},"action":"added"}`)
	return map[string][]byte{
		"enriched-match.json": known(t, socket, func(e *enrich.Event) {
			e.Process, e.Session, e.Threats = &process, &session, []enrich.Threat{threat}
		}),
		"enriched-possible.json": known(t, socket, func(e *enrich.Event) {
			second := login
			second.ID, second.PID, second.Terminal, second.Remote = "77ab", 881, "tty1", ":0"
			e.Process = &enrich.Process{EntityID: "5f2a", PID: 30219, Executable: "/usr/bin/curl", UserID: "1000"}
			e.Session = &enrich.Session{How: enrich.SessionPossible, Possible: []enrich.Login{login, second}, AuditUserID: "1000"}
			e.AddGap("ancestry", enrich.ParentUnknown)
		}),
		"enriched-cloud.json": known(t, socket, func(e *enrich.Event) {
			e.Cloud = &enrich.Cloud{
				Machine:  []byte(`{"provider":"aws","account":{"id":"111122223333"},"region":"eu-west-1","availability_zone":"eu-west-1a","instance":{"id":"i-0317f6c6b66ae9c40"},"machine":{"type":"t3.micro"}}`),
				Instance: []byte(`{"id":"i-0317f6c6b66ae9c40","proof":"metadata","launch":{"event_id":"e1","time":"2026-11-23T10:11:20.000Z","by":{"type":"IAMUser","name":"ann"},"source":"198.51.100.23","image":"ami-1"}}`),
				Login:    []byte(`[{"how":"ssm_session","status":"attributed","id":"ann-1","time":"2026-11-23T10:11:20.000Z","via":"StartSession","principal":{"name":"ann"},"root":{"name":"ann"}}]`),
				Objects:  []byte(`[{"path":"/mnt/data/k","bucket":"b","key":"k","mount":"/mnt/data","how":"mount-s3"}]`),
				Labels:   []byte(`[{"kind":"bucket","id":"b","labels":["sensitive"],"owner":"web"}]`),
			}
		}),
		"enriched-gap.json": known(t, socket, func(e *enrich.Event) { e.AddGap("process", enrich.ProcessUnknown) }),
		"enriched-name.json": known(t, socket, func(e *enrich.Event) {
			e.Names = []enrich.Name{{Name: "www.example.com", Status: enrich.Attributed, Source: enrich.FromDNS, SameProcess: true, Evidence: agent + "/" + run + "/1041/0"}}
		}),
		"enriched-names.json": known(t, socket, func(e *enrich.Event) {
			e.Names = []enrich.Name{
				{Name: "a.example.com", Status: enrich.Candidate, Source: enrich.FromDNS, Evidence: agent + "/" + run + "/1040/0"},
				{Name: "b.example.com", Status: enrich.Candidate, Source: enrich.FromSNI, Evidence: agent + "/" + run + "/1041/0"},
			}
			e.AddGap("names", enrich.NamesCut)
		}),
		"enriched-foreign.json": known(t, foreign, func(e *enrich.Event) {
			e.Host, e.TimeSource, e.Time, e.Appended = "", enrich.TimeUnknown, time.Time{}, time.Time{}
			e.Position = enrich.Position{File: "osqueryd.results.log", Line: 7}
			e.ID = e.Position.String()
			e.AddGap("host", enrich.HostUnknown)
		}),
		"enriched-zeek-ssl.json": observed(t, `{"_path":"ssl","_system_name":"sensor-1","ts":1795428671.305,"uid":"CyO1lb37w2czkxBsPd","id.orig_h":"10.0.3.17",`+
			`"id.orig_p":50568,"id.resp_h":"198.51.100.23","id.resp_p":443,"server_name":"www.example.com","established":true,`+
			`"ja3":"c81fc162549590f0e836b538fe5bfdd7","ja3s":"15af977ce25de452b96affa2addb1036","ja4":"t13d1516h2_8daaf6152771_b186095e22b6"}`),
		"enriched-zeek-dns.json": observed(t, `{"_path":"dns","ts":1795428671.305,"uid":"CWwU9s3h33kFsa9Ljg","id.orig_h":"10.0.3.17","id.orig_p":59102,`+
			`"id.resp_h":"10.0.0.2","id.resp_p":53,"proto":"udp","query":"www.example.com","qtype_name":"A","rcode_name":"NOERROR",`+
			`"answers":["cdn.example.net","198.51.100.23"],"TTLs":[300.0,60.0],"rejected":false}`),
		"enriched-suricata-http.json": observed(t, `{"timestamp":"2026-11-23T10:11:11.305000+0000","flow_id":1201228494666661,"event_type":"http","src_ip":"10.0.3.17",`+
			`"src_port":49730,"dest_ip":"198.51.100.23","dest_port":80,"proto":"TCP","http":{"hostname":"www.example.com","url":"/x?y=1",`+
			`"http_user_agent":"curl/8.5.0","http_method":"GET","status":200}}`),
		"enriched-file.json":  known(t, file, func(*enrich.Event) {}),
		"enriched-dns.json":   known(t, dns, func(*enrich.Event) {}),
		"enriched-empty.json": known(t, shipped(t, `{"snapshot":[],`+head+`}`, 0), func(*enrich.Event) {}),
		"enriched-status.json": known(t, statusSamples(t)["status-osqueryd.json"], func(e *enrich.Event) {
			e.Kind = event.Status
			e.TimeSource = enrich.TimeQuery
		}),
	}
}

// made are the samples as the code writes them today, by schema.
func made(t *testing.T) map[string]map[string][]byte {
	return map[string]map[string][]byte{
		event.SchemaGap: markerSamples(t), event.SchemaHeartbeat: heartbeatSamples(t),
		event.SchemaRow: rowSamples(t), event.SchemaStatus: statusSamples(t), event.SchemaDeadLetter: deadLetterSamples(t), enrich.SchemaEnriched: enrichedSamples(t),
		finding.Schema:            findingSamples(t),
		cloudtrail.SchemaEnriched: cloudTrailSamples(t),
		cloud.SchemaLink:          linkSamples(t),
	}
}

func TestSamplesAreWhatTheCodeWrites(t *testing.T) {
	for name, samples := range made(t) {
		stored, err := schemas.Samples(name)
		if err != nil {
			t.Fatal(err)
		}
		for file, record := range samples {
			record = append(record, '\n')
			if *update {
				writeSample(t, file, record)
			} else if !bytes.Equal(stored[file], record) {
				t.Errorf("%s is\n%s\nthe code writes (go test ./schemas -update)\n%s", file, stored[file], record)
			}
		}
		if got, want := slices.Sorted(maps.Keys(stored)), slices.Sorted(maps.Keys(samples)); !*update && !slices.Equal(got, want) {
			t.Errorf("samples of %s are %q, the code makes %q", name, got, want)
		}
	}
}

func writeSample(t *testing.T, file string, record []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("v1", "samples", file), record, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSamplesAreValid(t *testing.T) {
	for name, samples := range made(t) {
		for file, record := range samples {
			t.Run(file, func(t *testing.T) { schematest.Validate(t, name, record) })
		}
	}
}
