package shipper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

func row(i int) spool.Call {
	return call1(extension.TypeString, fmt.Sprintf(`{"name":"q","hostIdentifier":"h","columns":{"i":"%d","pad":"%s"},"action":"added"}`, i, strings.Repeat("x", 900)))
}

// gap is what a marker says.
type gap struct {
	Reason, Policy string
	From, Calls    uint64
	Possible       bool
	Since, Until   time.Time
	Delivery       struct {
		Agent, Run, Prev string
		Seq              uint64
		Row, Rows        int
	}
}

func gaps(t fataler, records []sink.Record, topic string) (all []gap) {
	t.Helper()
	for _, r := range records {
		if r.Topic == topic && header(r, "kind") == "gap" {
			var g gap
			must(t, json.Unmarshal(r.Value, &g))
			all = append(all, g)
		}
	}
	return all
}

// account reads topic as its readers do and returns the seqs that are neither
// there nor in a marker's range, up to last. It fails where a call's prev was
// never seen.
func account(t fataler, records []sink.Record, topic string, last uint64) (unknown []uint64) {
	t.Helper()
	known, names := map[uint64]bool{}, map[string]bool{"": true}
	for _, r := range records {
		if r.Topic != topic {
			continue
		}
		var row event.Row
		must(t, row.Parse(r.Value))
		d := row.Delivery
		if !names[d.Prev] {
			t.Fatalf("%s: prev %s was never seen", d.Name(), d.Prev)
		}
		names[d.Run+"/"+strconv.FormatUint(d.Seq, 10)] = true
		from := d.Seq
		if header(r, "kind") == "gap" {
			var g gap
			must(t, json.Unmarshal(r.Value, &g))
			if g.From > 0 {
				from = g.From
			}
		}
		for seq := from; seq <= d.Seq; seq++ {
			known[seq] = true
		}
	}
	for seq := uint64(1); seq <= last; seq++ {
		if !known[seq] {
			unknown = append(unknown, seq)
		}
	}
	return unknown
}

// Promise 3: what a full spool dropped is named on the topic, whole ranges with
// their counts, and the numbering has no other holes.
func TestDroppedCallsHaveMarkers(t *testing.T) {
	for policy, when := range map[string]spool.WhenFull{"drop_oldest": spool.DropOldest, "drop_newest": spool.DropNewest} {
		t.Run(policy, func(t *testing.T) {
			dir := t.TempDir()
			s, err := spool.Open(context.Background(), spool.Config{Dir: dir, MinFree: -1, MaxBytes: 512 << 10, SegmentBytes: 32 << 10, WhenFull: when})
			must(t, err)
			defer s.Close()
			source := New(s, config(dir))
			var records []sink.Record
			total := uint64(0)
			for range 3 {
				for i := range 600 {
					total++
					if _, err := s.Append(context.Background(), row(i)); err != nil && !errors.Is(err, spool.ErrFull) {
						t.Fatal(err)
					}
				}
				records = append(records, drain(t, s, source)...)
			}
			total++
			_, err = s.Append(context.Background(), row(0)) // what is missing is told by what comes after it
			must(t, err)
			records = append(records, drain(t, s, source)...)
			validate(t, records)
			if unknown := account(t, records, "osquery.results", total); len(unknown) > 0 {
				t.Errorf("of %d calls %d are neither there nor in a marker: %v", total, len(unknown), unknown[:min(9, len(unknown))])
			}
			missing, rows := uint64(0), uint64(0)
			for _, g := range gaps(t, records, "osquery.results") {
				missing += g.Calls
				if g.Reason != "dropped" || g.Policy != policy || g.Possible {
					t.Errorf("marker %+v", g)
				}
			}
			for _, r := range records {
				if header(r, "kind") == "result" {
					rows++
				}
			}
			if missing == 0 || missing+rows != total {
				t.Errorf("%d rows and %d in markers of %d calls", rows, missing, total)
			}
		})
	}
}

// Damage that hides which topic a call was for is told on every topic, as
// possible, each with a prev of its own.
func TestDamageIsToldOnEveryTopic(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	status := call1(extension.TypeStatus, `[{"s":0,"m":"x"}]`)
	for _, c := range []spool.Call{row(1), status, row(2), row(3), status} {
		_, err := s.Append(context.Background(), c)
		must(t, err)
	}
	must(t, s.Close())
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	must(t, err)
	b, err := os.ReadFile(segments[0])
	must(t, err)
	b[strings.Index(string(b), `"i":"2"`)] ^= 1
	must(t, os.WriteFile(segments[0], b, 0o600))
	s = open(t, dir)
	defer s.Close()
	records := drain(t, s, New(s, config(dir)))
	validate(t, records)
	for _, topic := range []string{"osquery.results", "osquery.status"} {
		all := gaps(t, records, topic)
		if len(all) != 1 || all[0].Reason != "damaged" || !all[0].Possible || all[0].From != 3 || all[0].Delivery.Seq != 3 || all[0].Calls != 1 {
			t.Errorf("%s: markers %+v", topic, all)
		}
		account(t, records, topic, 0)
	}
}

// A row that cannot be sent leaves a marker under its own name, so that the rows
// of its call are complete.
func TestAMarkerStandsInThePlaceOfARow(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.MaxRecordBytes = 100_000
	big := fmt.Sprintf(`{"snapshot":[{"i":"0"},{"i":"%s"},{"i":"2"}],"action":"snapshot","name":"q","hostIdentifier":"h"}`, strings.Repeat("y", 200_000))
	records := ship(t, dir, cfg, call1(extension.TypeSnapshot, big), call1(extension.TypeString, "no JSON"), row(1))
	validate(t, records)
	var names, kinds []string
	for _, r := range records {
		if r.Topic == "osquery.results" {
			names = append(names, header(r, "seq")+"/"+header(r, "row")+" of "+header(r, "rows"))
			kinds = append(kinds, header(r, "kind"))
		}
	}
	if got := strings.Join(names, ", "); got != "1/0 of 3, 1/1 of 3, 1/2 of 3, 2/0 of 1, 3/0 of 1" {
		t.Errorf("names on the topic: %s", got)
	}
	if !slices.Equal(kinds, []string{"snapshot", "gap", "snapshot", "gap", "result"}) {
		t.Errorf("kinds %q", kinds)
	}
	all := gaps(t, records, "osquery.results")
	if all[0].Reason != "oversized" || all[1].Reason != "unreadable" {
		t.Errorf("markers %+v", all)
	}
	account(t, records, "osquery.results", 3)
}

// Heartbeats and absences are records in line with the rest.
func TestRecordsOfOurOwn(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 23, 10, 11, 20, 0, time.UTC)
	beat := event.Beat{Version: "1", ConfigState: "ok", Clock: at, Started: at, Lost: map[string]uint64{"damaged": 3}}
	records := ship(t, dir, config(dir), row(1), Heartbeat(&beat), Absence(at, at.Add(time.Minute)), row(2))
	validate(t, records)
	checkNames(t, records)
	if header(records[1], "kind") != "heartbeat" || header(records[1], "schema") != event.SchemaHeartbeat {
		t.Errorf("heartbeat %s", records[1].Value)
	}
	all := gaps(t, records, "osquery.results")
	if len(all) != 1 || all[0].Reason != "unregistered" || !all[0].Until.Equal(at.Add(time.Minute)) {
		t.Errorf("absence %+v", all)
	}
	if len(account(t, records, "osquery.results", 4)) > 0 {
		t.Error("a call is missing")
	}
}

// A call that was routed goes where its route said when it was accepted.
func TestAStreamThatIsNoneOfOursIsATopic(t *testing.T) {
	dir := t.TempDir()
	c := row(1)
	c.Stream = "osquery.security"
	records := ship(t, dir, config(dir), row(0), c, row(2))
	if records[1].Topic != "osquery.security" || records[2].Topic != "osquery.results" {
		t.Fatalf("topics %s and %s", records[1].Topic, records[2].Topic)
	}
	var r event.Row
	must(t, r.Parse(records[2].Value))
	if !strings.HasSuffix(r.Delivery.Prev, "/1") {
		t.Errorf("prev is %s, want the call before on the same topic", r.Delivery.Prev)
	}
}

// built_in_names: osqueryd's line as it is, one a record, names in headers only.
func TestBuiltInNamesAreOsquerydsLines(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.BuiltInNames = true
	batch := `{"diffResults":{"removed":[],"added":[{"x":"2"},{"x":"3"}]},"name":"b","hostIdentifier":"h"}`
	odd := "{\"snapshot\":[{\"x\":\"a\xff\"}],\"name\":\"s\"}"
	lines, err := json.Marshal([]string{batch, `{"name":"c","columns":{},"action":"added"}`})
	must(t, err)
	records := ship(t, dir, cfg, call1(extension.TypeString, batch), call1(extension.TypeSnapshot, odd),
		call1(extension.TypeStringBatch, string(lines)), call1(extension.TypeString, "no JSON"), call1(extension.TypeStatus, `[{"s":1,"m":"hello"}]`))
	want := []string{batch, odd, batch, `{"name":"c","columns":{},"action":"added"}`, "no JSON", `{"severity":1,"message":"hello","version":"5.23.1"}`}
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, r := range records {
		if string(r.Value) != want[i] {
			t.Errorf("record %d is %q, want %q", i, r.Value, want[i])
		}
		if header(r, "agent") == "" || header(r, "run") == "" || header(r, "seq") == "" {
			t.Errorf("record %d has no name: %v", i, r.Headers)
		}
	}
	if header(records[0], "query") != "b" || header(records[1], "kind") != "snapshot" || header(records[3], "row") != "1" || header(records[3], "rows") != "2" {
		t.Errorf("headers %v, %v, %v", records[0].Headers, records[1].Headers, records[3].Headers)
	}
}

// A call that passed no rules is redacted before it is sent, and says so; one that
// did is left alone.
func TestLateRedactionSaysSo(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.Redact = func(_ byte, payload []byte) ([]byte, bool) {
		out := strings.ReplaceAll(string(payload), "secret", "hidden")
		return []byte(out), out != string(payload)
	}
	secret := call1(extension.TypeString, `{"name":"a","columns":{"x":"secret"},"action":"added"}`)
	passed := secret
	passed.Rules = 7
	records := ship(t, dir, cfg, secret, passed, row(1))
	validate(t, records)
	for i, want := range []struct {
		text string
		late bool
	}{{`"x":"hidden"`, true}, {`"x":"secret"`, false}, {`"i":"1"`, false}} {
		v := string(records[i].Value)
		if !strings.Contains(v, want.text) || strings.Contains(v, `"redacted_late":true`) != want.late {
			t.Errorf("record %d: %s", i, v)
		}
	}
}

// A batch waits for others up to its age, and not for its size.
func TestABatchGathersCallsUntilItIsOld(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	cfg := config(dir)
	cfg.MaxBatchAge = time.Hour
	cfg.MaxBatchBytes = 3_000
	source := New(s, cfg)
	go func() {
		for i := range 4 {
			_, _ = s.Append(context.Background(), row(i))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	b, err := source.Next(context.Background())
	must(t, err)
	if len(b.Records) != 3 {
		t.Errorf("%d records, want the 3 that fill a batch", len(b.Records))
	}
	must(t, b.Ack(nil))
	cfg.MaxBatchAge = 50 * time.Millisecond
	must(t, s.Rewind())
	source = New(s, cfg)
	if b, err = source.Next(context.Background()); err != nil || len(b.Records) != 1 {
		t.Errorf("%d records, %v; want the last one when it is old enough", len(b.Records), err)
	}
}
