package event_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// sensorRecords hands each record of a file of the sample data to each, and
// fails the test for what is none.
func sensorRecords(t testing.TB, path string, each func(*event.Row, *event.Lens)) {
	t.Helper()
	lenses := event.NewLenses()
	var row event.Row
	event.SplitSensor(testdata.Read(t, path), func(r event.SensorRecord) {
		if r.Err != nil {
			t.Fatalf("%s:%d: %v", path, r.Line, r.Err)
		}
		if err := row.ParseSensor(r.JSON); err != nil {
			t.Fatalf("%s:%d: %v: %s", path, r.Line, err, r.JSON)
		}
		each(&row, lenses.Find(&row))
	})
}

// sensorFiles are the files below sensors/ and how many records of which kind
// SOURCES.md says they have.
func sensorFiles() map[string]map[string]int {
	one := func(record string, n int) map[string]int { return map[string]int{record: n} }
	all := map[string]map[string]int{
		"suricata/suricatalog-eve-2.json": {
			"suricata.dns": 936, "suricata.flow": 923, "suricata.tls": 224, "alert": 118, "anomaly": 106, "smtp": 84, "suricata.http": 5,
			"fileinfo": 4, "stats": 1,
		},
		"suricata/hassanabad-wrccdc-2018-alerts.json":            one("alert", 207),
		"suricata/suricatalog-eve_udp_flow.json":                 {"suricata.flow": 16, "netflow": 16},
		"suricata/nolic-tenzir-library/tls.json":                 one("suricata.tls", 10),
		"suricata/nolic-tenzir-library/flow.json":                one("suricata.flow", 10),
		"suricata/nolic-tenzir-library/ssh.json":                 one("ssh", 10),
		"suricata/nolic-tenzir-library/alert.json":               one("alert", 5),
		"suricata/nolic-tenzir-library/dns.json":                 one("suricata.dns", 3),
		"suricata/nolic-tenzir-library/http.json":                one("suricata.http", 3),
		"suricata/nolic-tenzir-library/fileinfo.json":            one("fileinfo", 3),
		"route53/resolver_query_log_awsdocs.ndjson":              one("route53.resolver", 1),
		"route53/resolver_query_log_dynatrace.ndjson":            one("route53.resolver", 1),
		"route53/route53-query-logs_tenzir-library_nolic.ndjson": one("route53.resolver", 6),
	}
	for folder, logs := range map[string]map[string]int{
		"otrf-apt29-day1/NASHUA_":   {"conn": 479, "dns": 21, "ssl": 376, "files": 379, "x509": 376, "weird": 6, "notice": 1},
		"otrf-apt29-day1/SCRANTON_": {"conn": 134, "dns": 32, "ssl": 2, "http": 62, "files": 69, "x509": 2, "weird": 6, "notice": 1},
		"otrf-lsass-01/":            {"conn": 112, "dns": 96, "ssl": 5, "http": 3, "files": 3, "x509": 1, "weird": 22, "pe": 1},
		"otrf-lsass-07/":            {"conn": 566, "dns": 1523, "ssl": 2, "http": 3, "files": 3, "x509": 1, "weird": 31, "pe": 1},
		"zat-tsv/":                  {"conn": 360, "dns": 54, "ssl": 37, "http": 150, "files": 113, "notice": 2, "weird": 12, "x509": 13, "http_empty": 0},
		"zat-json/":                 {"conn": 50, "dns": 50, "files": 50, "ssl": 50, "x509": 50, "http": 28},
		"corelight-openvpn/":        {"conn": 1, "ssl": 1},
		"nolic-tenzir-library/":     {"conn": 1, "dns": 1, "ssl": 1, "http": 1},
	} {
		for log, n := range logs {
			record := log
			switch log {
			case "conn", "dns", "ssl", "http":
				record = "zeek." + log
			}
			all["zeek/"+folder+log+".log"] = map[string]int{}
			if n > 0 {
				all["zeek/"+folder+log+".log"][record] = n
			}
		}
	}
	return all
}

// Every record of the real logs is there, under the lens that answers for it or
// under the name it goes by.
func TestRealSensorLogsLoseNoRecord(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata.Dir(t), "sensors/*/*"))
	more, err2 := filepath.Glob(filepath.Join(testdata.Dir(t), "sensors/*/*/*"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	want := sensorFiles()
	seen := 0
	for _, file := range append(files, more...) {
		path, _ := filepath.Rel(testdata.Dir(t), file)
		if filepath.Ext(path) == "" {
			continue
		}
		seen++
		got := map[string]int{}
		sensorRecords(t, path, func(row *event.Row, lens *event.Lens) {
			name := lens.Table
			if lens.Kind == event.Other {
				_, name, _ = strings.Cut(row.Query.Text(), ".")
			}
			got[name]++
			checkSensorEvent(t, path, row, lens)
		})
		if !maps.Equal(got, want[strings.TrimPrefix(path, "sensors/")]) {
			t.Errorf("%s has %v, want %v", path, got, want[strings.TrimPrefix(path, "sensors/")])
		}
	}
	if seen != len(want) {
		t.Errorf("%d files, want %d", seen, len(want))
	}
}

// checkSensorEvent holds an event to what every sensor's record of its kind has.
func checkSensorEvent(t *testing.T, path string, row *event.Row, lens *event.Lens) {
	t.Helper()
	if lens.Kind == event.Other {
		return
	}
	at, ok := lens.Time(row)
	if !ok || at.Year() < 2009 || at.Year() > 2024 {
		t.Errorf("%s: time %v: %s", path, at, row.Raw)
	}
	needed := []event.Field{event.LocalAddress, event.LocalPort, event.RemoteAddress, event.RemotePort, event.ConnectionUID}
	if lens.Table == "route53.resolver" {
		needed = []event.Field{event.LocalAddress, event.LocalPort, event.Domain, event.QueryType}
	}
	if lens.Table == "suricata.dns" {
		needed = append(needed, event.Domain)
	}
	for _, f := range needed {
		if answer(row, lens, f) == "" && !strings.Contains(answer(row, lens, event.Protocol), "ICMP") {
			t.Errorf("%s: no %s: %s", path, f, row.Raw)
		}
	}
}

// The APT29 capture's lines meet through their uids: each TLS, DNS and HTTP line
// belongs to a connection with the same ends, and no TLS line is without JA3.
func TestLinesOfTheAPT29CaptureMeetThroughTheirUIDs(t *testing.T) {
	type ends [4]string
	endsOf := func(row *event.Row, lens *event.Lens) (e ends) {
		for i, f := range []event.Field{event.LocalAddress, event.LocalPort, event.RemoteAddress, event.RemotePort} {
			e[i] = answer(row, lens, f)
		}
		return e
	}
	for host, logs := range map[string]map[string]int{"NASHUA": {"ssl": 376, "dns": 21}, "SCRANTON": {"ssl": 2, "dns": 32, "http": 62}} {
		path := "sensors/zeek/otrf-apt29-day1/" + host + "_"
		connections := map[string]ends{}
		sensorRecords(t, path+"conn.log", func(row *event.Row, lens *event.Lens) {
			connections[answer(row, lens, event.ConnectionUID)] = endsOf(row, lens)
		})
		for log, want := range logs {
			met, fingerprints := 0, map[string]bool{}
			sensorRecords(t, path+log+".log", func(row *event.Row, lens *event.Lens) {
				if connections[answer(row, lens, event.ConnectionUID)] == endsOf(row, lens) {
					met++
				}
				fingerprints[answer(row, lens, event.JA3)+" "+answer(row, lens, event.JA3S)] = true
			})
			if met != want {
				t.Errorf("%s: %d lines of %s meet their connection, want %d", host, met, log, want)
			}
			if log == "ssl" && (len(fingerprints) != 1 || fingerprints[" "]) {
				t.Errorf("%s: fingerprints %v, want one pair", host, fingerprints)
			}
		}
	}
}

// Suricata's lines meet their flow in the same way, whichever way an answer's
// packet went.
func TestLinesOfSuricataMeetTheirFlow(t *testing.T) {
	flows := map[string]string{}
	const path = "sensors/suricata/suricatalog-eve-2.json"
	sensorRecords(t, path, func(row *event.Row, lens *event.Lens) {
		if lens.Table == "suricata.flow" {
			flows[answer(row, lens, event.ConnectionUID)] = answer(row, lens, event.LocalAddress) + " " + answer(row, lens, event.RemoteAddress)
		}
	})
	fingerprints := map[string]int{}
	met := map[string]int{}
	sensorRecords(t, path, func(row *event.Row, lens *event.Lens) {
		if flows[answer(row, lens, event.ConnectionUID)] == answer(row, lens, event.LocalAddress)+" "+answer(row, lens, event.RemoteAddress) {
			met[lens.Table]++
		}
		if ja3 := answer(row, lens, event.JA3); len(ja3) == 32 {
			fingerprints[ja3]++
		}
	})
	if met["suricata.dns"] != 936 || met["suricata.tls"] != 224 || met["suricata.http"] != 5 || len(fingerprints) != 7 {
		t.Errorf("met %v, %d fingerprints", met, len(fingerprints))
	}
}

func TestTimesOfRealSensorsAreRight(t *testing.T) {
	for _, test := range []struct{ path, record, want string }{
		{"zeek/otrf-apt29-day1/NASHUA_conn.log", "zeek.conn", "2020-04-30T00:06:39.82437Z"},
		{"zeek/zat-tsv/conn.log", "zeek.conn", "2013-09-15T23:44:27.706265Z"},
		{"zeek/nolic-tenzir-library/ssl.log", "zeek.ssl", "2024-10-18T13:57:30.489454Z"},
		{"suricata/suricatalog-eve-2.json", "suricata.tls", "2022-02-08T14:40:36.193989Z"},
		{"suricata/suricatalog-eve_udp_flow.json", "suricata.flow", "2022-04-25T00:02:08.938341Z"}, // its start, not when it was logged
		{"suricata/nolic-tenzir-library/tls.json", "suricata.tls", "2009-11-18T09:14:20.452515999Z"},
		{"route53/resolver_query_log_awsdocs.ndjson", "route53.resolver", "2021-02-04T17:51:55Z"},
	} {
		var got string
		sensorRecords(t, "sensors/"+test.path, func(row *event.Row, lens *event.Lens) {
			if at, ok := lens.Time(row); ok && got == "" && lens.Table == test.record {
				got = at.Format(time.RFC3339Nano)
			}
		})
		if got != test.want {
			t.Errorf("%s: the first %s is of %s, want %s", test.path, test.record, got, test.want)
		}
	}
}
