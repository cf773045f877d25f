package main

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const zeekSSL = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tssl\n" +
	"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tserver_name\testablished\tja3\n" +
	"#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tbool\tstring\n" +
	"1760000005.25\tC1\t10.0.0.9\t40000\t45.0.0.9\t443\twww.example.com\tT\tc81fc162549590f0e836b538fe5bfdd7\n"

// sensorEvent is what the tests read of an enriched sensor's record.
type sensorEvent struct {
	Enrichment struct {
		Timestamp string `json:"@timestamp"`
		Event     struct{ ID, Dataset string }
		TLS       struct {
			Client struct {
				JA3 string
				SNI string `json:"server_name"`
			}
		}
		Destination struct{ IP string }
		Network     struct {
			UID string `json:"connection_uid"`
		}
		Threat struct{ Enrichments []any }
		Gaps   []struct{ Question, Reason string }
	}
}

func sensorEvents(t *testing.T, stdout string) (all []sensorEvent) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		var e sensorEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

func TestScanReadsASensorsLog(t *testing.T) {
	feed, log := write(t, "mine.txt", "45.0.0.9\n"), write(t, "ssl.log", zeekSSL)
	stdout, stderr, code := command(t, "", "scan", "--feed", feed, "--sensor", log)
	all := sensorEvents(t, stdout)
	if code != 0 || len(all) != 1 {
		t.Fatalf("exit %d, %d events: %s", code, len(all), stderr)
	}
	e := all[0].Enrichment
	if e.Event.Dataset != "zeek.ssl" || e.Timestamp != "2025-10-09T08:53:25.250Z" || e.Destination.IP != "45.0.0.9" || e.Network.UID != "C1" ||
		e.TLS.Client.JA3 != "c81fc162549590f0e836b538fe5bfdd7" || e.TLS.Client.SNI != "www.example.com" || len(e.Threat.Enrichments) != 1 ||
		!strings.HasSuffix(e.Event.ID, "ssl.log:8") {
		t.Errorf("%+v", e)
	}
}

// What is no record is told with its place and why, and what nobody knows is
// passed on with a word.
func TestScanLosesNoLineOfASensor(t *testing.T) {
	log := write(t, "mixed.log", "garbage\n"+zeekSSL+"too\tfew\n"+
		`{"ts":1,"proto":"x"}`+"\n"+`{"event_type":"alert","timestamp":"2022-02-08T09:40:31.064321-0500"}`+"\n"+`{"torn":`+"\n")
	stdout, stderr, code := command(t, "", "scan", "--sensor", log)
	var got []string
	for _, e := range sensorEvents(t, stdout) {
		got = append(got, e.Enrichment.Event.Dataset)
		for _, g := range e.Enrichment.Gaps {
			if g.Question == "kind" {
				got = append(got, g.Reason)
			}
		}
	}
	if want := "zeek.ssl sensor.unknown shape_unknown suricata.alert record_not_read"; code != 0 || strings.Join(got, " ") != want {
		t.Errorf("exit %d, %q, want %q", code, got, want)
	}
	for _, words := range []string{
		"mixed.log:1: left out: neither JSON", "mixed.log:10: left out: 2 of 9: the line has not as many values",
		"mixed.log:13: left out: the record does not end", "unreadable  3 lines",
	} {
		if !strings.Contains(stderr, words) {
			t.Errorf("standard error lacks %q:\n%s", words, stderr)
		}
	}
}

// Every record of the real sensor logs comes out once, as the schema says.
func TestScanOfTheRealSensorLogs(t *testing.T) {
	args := []string{"scan"}
	err := filepath.WalkDir(filepath.Join(testdata.Dir(t), "sensors"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			args = append(args, "--sensor", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := command(t, "", args...)
	const want = 8036 // the sum of what SOURCES.md counts
	if lines := strings.Count(stdout, "\n"); code != 0 || lines != want || !strings.Contains(stderr, "unreadable  0 lines") {
		t.Fatalf("exit %d, %d records, want %d\n%s", code, lines, want, stderr)
	}
	n := 0
	for line := range strings.Lines(stdout) {
		if n++; n%97 == 0 {
			schematest.Validate(t, enrich.SchemaEnriched, []byte(line))
		}
	}
}

// What a sensor saw is linked with the process behind it, over files as in the stream.
func TestScanLinksASensorsRecordWithItsProcess(t *testing.T) {
	const address = `{"name":"interface_addresses","hostIdentifier":"h","unixTime":1760000000,"columns":{"interface":"eth0","address":"10.0.0.9","mask":"255.0.0.0"},"action":"added"}`
	rows := write(t, "osqueryd.results.log", strings.Join([]string{address, started, strings.Replace(connect, "198.18.0.9", "45.0.0.9", 1)}, "\n"))
	stdout, stderr, code := command(t, "", "scan", "--sensor", write(t, "ssl.log", zeekSSL), rows)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	links := 0
	for line := range strings.Lines(stdout) {
		var v linked
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		schematest.Validate(t, enrich.SchemaEnriched, []byte(line))
		if e := v.Enrichment; e.Link != nil {
			links++
			if e.Link.Status != "attributed" || e.Process.Executable != "/bin/x" || e.TLS.Client.JA3 != "c81fc162549590f0e836b538fe5bfdd7" || e.Host.ID != "h" {
				t.Errorf("%s", line)
			}
		}
	}
	if links != 1 {
		t.Errorf("%d links:\n%s", links, stdout)
	}
}
