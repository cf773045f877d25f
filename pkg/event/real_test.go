package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// logs are the real and documented result lines, one a line.
var logs = []string{
	"osquery/osqueryd.results.log", "osquery/osqueryd.snapshots.log", "osquery/more/beats_test.log", "osquery/more/osquery_docs.jsonl",
	"osquery/more/panther_osquery_rules.jsonl", "osquery/more/secureworks_telemetry-tool_nolic.jsonl", "osquery/more/streamalert_fixtures.jsonl",
}

// captures are all calls that a running osqueryd made.
var captures = []string{
	"osquery/captured/s_events.jsonl", "osquery/captured/s_batch.jsonl", "osquery/captured/s_snapev.jsonl", "osquery/captured/s_numeric.jsonl",
}

func lines(t testing.TB, path string) [][]byte {
	t.Helper()
	return bytes.Split(bytes.TrimRight(testdata.Read(t, path), "\n"), []byte("\n"))
}

// call is one captured logger call.
type call struct {
	Type, Log string
}

func calls(t testing.TB, path string) (all []call) {
	t.Helper()
	for _, line := range lines(t, path) {
		var c call
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// realResults returns every real result by file.
func realResults(t testing.TB) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	for _, path := range logs {
		all[path] = lines(t, path)
	}
	for _, path := range captures {
		for _, c := range calls(t, path) {
			if c.Type == "string" || c.Type == "snapshot" {
				all[path] = append(all[path], []byte(c.Log))
			}
		}
	}
	return all
}

// anyForm reads any of osquery's forms with encoding/json, as the yardstick.
type anyForm struct {
	Name        string
	Columns     json.RawMessage
	DiffResults struct{ Removed, Added []json.RawMessage }
	Snapshot    []json.RawMessage
}

func (f *anyForm) columns() []json.RawMessage {
	switch {
	case f.Columns != nil:
		return []json.RawMessage{f.Columns}
	case f.Snapshot != nil:
		return f.Snapshot
	}
	return append(f.DiffResults.Removed, f.DiffResults.Added...)
}

func TestRealResults(t *testing.T) {
	records, empty := map[string]int{}, map[string]int{}
	for path, payloads := range realResults(t) {
		for _, payload := range payloads {
			checkReal(t, payload)
			rows, _ := rowsOf(t, string(payload))
			records[path] += rows.Records()
			empty[path] += rows.Records() - rows.Len()
		}
	}
	maps.DeleteFunc(empty, func(_ string, n int) bool { return n == 0 })
	wantEmpty := map[string]int{
		"osquery/captured/s_batch.jsonl": 6, "osquery/captured/s_events.jsonl": 5, "osquery/captured/s_numeric.jsonl": 5,
		"osquery/more/streamalert_fixtures.jsonl": 1,
	}
	wantRecords := map[string]int{
		"osquery/osqueryd.results.log": 266, "osquery/osqueryd.snapshots.log": 43, "osquery/more/beats_test.log": 2,
		"osquery/more/osquery_docs.jsonl": 10, "osquery/more/panther_osquery_rules.jsonl": 35,
		"osquery/more/secureworks_telemetry-tool_nolic.jsonl": 6, "osquery/more/streamalert_fixtures.jsonl": 6,
		"osquery/captured/s_batch.jsonl": 48, "osquery/captured/s_events.jsonl": 47, "osquery/captured/s_numeric.jsonl": 47,
		"osquery/captured/s_snapev.jsonl": 43,
	}
	if !maps.Equal(records, wantRecords) || !maps.Equal(empty, wantEmpty) {
		t.Errorf("records by file %v, want %v;\nempty %v, want %v", records, wantRecords, empty, wantEmpty)
	}
}

// realDelivery is one as logger-ext makes them.
var realDelivery = event.Delivery{
	Agent: "6f1c9b1e-7d5c-4c55-9d6e-000000000001", Run: "00ff00ff00ff00ff", Seq: 1 << 60, Rows: 1, Spooled: time.UnixMilli(1795428680305),
}

// checkReal checks that a result's rows are those encoding/json finds, byte for
// byte.
func checkReal(t *testing.T, payload []byte) {
	t.Helper()
	var want anyForm
	if err := json.Unmarshal(payload, &want); err != nil {
		t.Fatalf("%v: %s", err, payload)
	}
	rows, records := rowsOf(t, string(payload))
	columns := want.columns()
	if rows.Len() != len(columns) || rows.Query() != want.Name {
		t.Fatalf("%d rows of %q, want %d of %q", rows.Len(), rows.Query(), len(columns), want.Name)
	}
	for i := range columns {
		var got anyForm
		if err := json.Unmarshal([]byte(records[i]), &got); err != nil || string(got.Columns) != string(columns[i]) || got.Name != want.Name {
			t.Fatalf("row %d of %s is %s (%v)", i, payload, records[i], err)
		}
		row := parse(t, records[i])
		if row.Dirty || row.Action.Empty() || !row.HasColumns {
			t.Errorf("Dirty %v, action %q: %s", row.Dirty, row.Action.Text(), records[i])
		}
		checkColumns(t, row, columns[i])
	}
	for _, record := range records {
		schematest.Validate(t, event.SchemaRow, event.AppendDelivery([]byte(record), &realDelivery))
	}
}

func TestRealStatusLines(t *testing.T) {
	for _, path := range captures {
		var batch []string // osqueryd sends an array; what recorded it took that apart
		for _, c := range calls(t, path) {
			if c.Type == "status" {
				batch = append(batch, c.Log)
			}
		}
		rows, err := event.SplitStatus([]byte("[" + strings.Join(batch, ",") + "]"))
		if err != nil || rows.Len() != len(batch) || len(batch) == 0 {
			t.Fatalf("%s: %d lines of %d: %v", path, rows.Len(), len(batch), err)
		}
		for i := range batch {
			checkStatus(t, batch[i], rows.AppendRow(nil, i, "5.23.1"))
		}
	}
}

func checkStatus(t *testing.T, line string, record []byte) {
	t.Helper()
	var want struct {
		S, I, U int64
		F, M, H string
		C       string
	}
	var got struct {
		Severity, Line, UnixTime                                 int64
		Filename, Message, HostIdentifier, CalendarTime, Version string
	}
	if err := errors.Join(json.Unmarshal([]byte(line), &want), json.Unmarshal(record, &got)); err != nil {
		t.Fatal(err)
	}
	if got.Severity != want.S || got.Line != want.I || got.UnixTime != want.U || got.Filename != want.F || got.Message != want.M ||
		got.HostIdentifier != want.H || got.CalendarTime != want.C || got.Version != "5.23.1" {
		t.Errorf("%s became %s", line, record)
	}
	schematest.Validate(t, event.SchemaStatus, event.AppendDelivery(record, &realDelivery))
}

func TestRealCallsAsStringBatch(t *testing.T) {
	for path, payloads := range realResults(t) {
		texts := make([]string, 0, len(payloads))
		for _, p := range payloads {
			texts = append(texts, string(p))
		}
		batch, err := json.Marshal(texts)
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.SplitLines(batch)
		if err != nil || len(got) != len(texts) {
			t.Fatalf("%s: %d lines of %d: %v", path, len(got), len(texts), err)
		}
		for i := range got {
			if string(got[i]) != texts[i] {
				t.Fatalf("%s: line %d is %s, want %s", path, i, got[i], texts[i])
			}
		}
	}
}
