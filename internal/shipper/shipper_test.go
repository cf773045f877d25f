package shipper

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func config(dir string) Config {
	return Config{
		Topics:     map[string]string{"results": "osquery.results", "status": "osquery.status"},
		DeadLetter: "osquery.deadletter", Key: ByAgent, MaxRecordBytes: 1_000_000,
		OsqueryVersion: func() string { return "5.23.1" },
		Attic:          &Attic{Dir: dir + "/oversized"}, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t fataler, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, MinFree: -1})
	must(t, err)
	return s
}

func call1(typ byte, payload string) spool.Call {
	stream := "results"
	if typ == extension.TypeStatus {
		stream = "status"
	}
	return spool.Call{Stream: stream, Type: typ, Payload: []byte(payload)}
}

// ship spools calls in dir and returns what a Source makes of them, all
// acknowledged.
func ship(t fataler, dir string, cfg Config, calls ...spool.Call) []sink.Record {
	t.Helper()
	s := open(t, dir)
	for _, c := range calls {
		_, err := s.Append(context.Background(), c)
		must(t, err)
	}
	all := drain(t, s, New(s, cfg))
	must(t, s.Close())
	return all
}

func drain(t fataler, s *spool.Spool, source *Source) (all []sink.Record) {
	t.Helper()
	for s.Ready() || source.call != nil {
		b, err := source.Next(context.Background())
		must(t, err)
		all = append(all, keep(b.Records)...)
		must(t, b.Ack(nil))
	}
	return all
}

// keep copies records, whose bytes the Source reuses.
func keep(records []sink.Record) (kept []sink.Record) {
	for _, r := range records {
		r.Value, r.Headers = bytes.Clone(r.Value), slices.Clone(r.Headers)
		for i := range r.Headers {
			r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
		}
		kept = append(kept, r)
	}
	return kept
}

func header(r sink.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func validate(t *testing.T, records []sink.Record) {
	t.Helper()
	for _, r := range records {
		schematest.Validate(t, header(r, "schema"), r.Value)
	}
}

// Promise 2 over what a real osqueryd sent: every row has one name, repeated in
// the headers, prev is the call sent before to the same topic, and each record is
// of its schema.
func TestTheCapturedCallsBecomeNamedRows(t *testing.T) {
	types := map[string]byte{"string": extension.TypeString, "snapshot": extension.TypeSnapshot, "status": extension.TypeStatus}
	for _, name := range []string{"s_batch", "s_events", "s_numeric", "s_snapev"} {
		t.Run(name, func(t *testing.T) {
			var calls []spool.Call
			rows := 0
			for line := range bytes.Lines(testdata.Read(t, "osquery/captured/"+name+".jsonl")) {
				var c struct{ Type, Log string }
				must(t, json.Unmarshal(line, &c))
				switch typ := types[c.Type]; c.Type {
				case "status":
					calls = append(calls, call1(typ, "["+c.Log+"]"))
					rows++
				case "string", "snapshot":
					calls = append(calls, call1(typ, c.Log))
					split, err := event.SplitResult([]byte(c.Log))
					must(t, err)
					rows += split.Records()
				}
			}
			dir := t.TempDir()
			records := ship(t, dir, config(dir), calls...)
			if len(records) != rows {
				t.Fatalf("%d records of %d rows", len(records), rows)
			}
			validate(t, records)
			checkNames(t, records)
		})
	}
}

// checkNames wants each record's headers to repeat its delivery, and prev to be
// the call before on its topic.
func checkNames(t *testing.T, records []sink.Record) {
	t.Helper()
	last, current := map[string]string{}, map[string]string{}
	for _, r := range records {
		var row event.Row
		must(t, row.Parse(r.Value))
		d := row.Delivery
		for key, want := range map[string]string{
			"agent": d.Agent, "run": d.Run, "seq": strconv.FormatUint(d.Seq, 10), "row": strconv.Itoa(d.Row), "rows": strconv.Itoa(d.Rows), "query": row.Query.Text(),
		} {
			if got := header(r, key); got != want {
				t.Errorf("header %s is %q, the value says %q", key, got, want)
			}
		}
		if string(r.Key) != d.Agent || !r.Time.Equal(d.Spooled.Truncate(1)) && r.Time.Sub(d.Spooled) > 1e6 {
			t.Errorf("key %s, time %v; agent %s, spooled %v", r.Key, r.Time, d.Agent, d.Spooled)
		}
		call := d.Run + "/" + strconv.FormatUint(d.Seq, 10)
		if current[r.Topic] != call {
			last[r.Topic], current[r.Topic] = current[r.Topic], call
		}
		if d.Prev != last[r.Topic] {
			t.Errorf("%s on %s: prev is %q, want %q", d.Name(), r.Topic, d.Prev, last[r.Topic])
		}
	}
}

func TestStatusRowsGetTheNamesAndVersionOfTheBuiltInLoggers(t *testing.T) {
	dir := t.TempDir()
	records := ship(t, dir, config(dir), call1(extension.TypeStatus,
		`[{"s":1,"f":"a.cpp","i":7,"m":"hello","h":"vm","c":"Mon","u":1795428678},{"s":0,"f":"b.cpp","i":8,"m":"x","h":"vm","c":"Mon","u":1795428678}]`))
	if len(records) != 2 || records[0].Topic != "osquery.status" || header(records[1], "row") != "1" || header(records[0], "kind") != "status" {
		t.Fatalf("records %+v", records)
	}
	want := `{"hostIdentifier":"vm","calendarTime":"Mon","unixTime":1795428678,"severity":1,"filename":"a.cpp","line":7,"message":"hello","version":"5.23.1","delivery":`
	if !strings.HasPrefix(string(records[0].Value), want) {
		t.Errorf("status row %s", records[0].Value)
	}
	validate(t, records)
}

func TestStringBatchRowsAreNumberedThrough(t *testing.T) {
	dir := t.TempDir()
	lines, err := json.Marshal([]string{
		`{"name":"a","hostIdentifier":"h","columns":{"x":"1"},"action":"added"}`,
		`{"diffResults":{"removed":[],"added":[{"x":"2"},{"x":"3"}]},"name":"b","hostIdentifier":"h"}`,
	})
	must(t, err)
	records := ship(t, dir, config(dir), call1(extension.TypeStringBatch, string(lines)))
	if len(records) != 3 || header(records[2], "row") != "2" || header(records[2], "rows") != "3" || header(records[2], "query") != "b" {
		t.Fatalf("records %+v", records)
	}
	checkNames(t, records)
}

func TestKeyByHostIdentifier(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.Key = ByHostIdentifier
	records := ship(t, dir, cfg, call1(extension.TypeString, `{"name":"a","hostIdentifier":"h-7","columns":{},"action":"added"}`))
	if string(records[0].Key) != "h-7" {
		t.Errorf("key %q", records[0].Key)
	}
}

// Bad input: what cannot be taken apart is a dead letter with its bytes, and
// stops nothing.
func TestWhatIsNoResultIsDeadLettered(t *testing.T) {
	good := call1(extension.TypeString, `{"name":"a","hostIdentifier":"h","columns":{},"action":"added"}`)
	for name, c := range map[string]struct {
		call   spool.Call
		reason string
	}{
		"no JSON":       {call1(extension.TypeString, "hello"), "malformed"},
		"empty":         {call1(extension.TypeString, ""), "malformed"},
		"NUL":           {call1(extension.TypeSnapshot, "\x00"), "malformed"},
		"deep nesting":  {call1(extension.TypeString, strings.Repeat(`{"columns":`, 5000)), "malformed"},
		"no status":     {call1(extension.TypeStatus, `{"s":1}`), "malformed"},
		"no batch":      {call1(extension.TypeStringBatch, `["{]"]`), "malformed"},
		"empty batch":   {call1(extension.TypeStringBatch, `[]`), "malformed"},
		"unknown call":  {call1(extension.TypeUnknown, `{"health":"x"}`), "unknown_call"},
		"event feature": {call1(extension.TypeEvent, `{"pid":"1"}`), "unknown_call"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			records := ship(t, dir, config(dir), good, c.call, good)
			if len(records) != 4 || records[1].Topic != "osquery.deadletter" || header(records[1], "kind") != "deadletter" ||
				records[2].Topic != "osquery."+c.call.Stream || header(records[2], "kind") != "gap" {
				t.Fatalf("records %+v", records)
			}
			validate(t, records)
			var letter struct {
				Reason, Original string
				Source           struct{ Seq int }
			}
			must(t, json.Unmarshal(records[1].Value, &letter))
			original, err := base64.StdEncoding.DecodeString(letter.Original)
			must(t, err)
			if letter.Reason != c.reason || !bytes.Equal(original, c.call.Payload) || letter.Source.Seq != 2 {
				t.Errorf("letter %+v", letter)
			}
			var last event.Row
			must(t, last.Parse(records[3].Value))
			if want := map[string]string{"results": "/2", "status": "/1"}[c.call.Stream]; !strings.HasSuffix(last.Delivery.Prev, want) {
				t.Errorf("the row after it has prev %q, want the call before it on that topic", last.Delivery.Prev)
			}
		})
	}
}

// Bad input: duplicate keys and bytes that are no UTF-8 are shipped, the latter
// mended and with their original.
func TestOddButReadableRowsAreShipped(t *testing.T) {
	dir := t.TempDir()
	records := ship(t, dir, config(dir),
		call1(extension.TypeString, `{"name":"a","hostIdentifier":"h","columns":{"x":"1","x":"2"},"action":"added"}`),
		call1(extension.TypeSnapshot, "{\"snapshot\":[{\"x\":\"a\xff\x01b\"}],\"action\":\"snapshot\",\"name\":\"q\",\"hostIdentifier\":\"h\"}"))
	if len(records) != 2 || !strings.Contains(string(records[0].Value), `"columns":{"x":"1","x":"2"}`) {
		t.Fatalf("records %q", records)
	}
	var odd struct {
		Escaped bool
		Raw     []byte
	}
	must(t, json.Unmarshal(records[1].Value, &odd))
	if !odd.Escaped || !bytes.Contains(odd.Raw, []byte("a\xff\x01b")) {
		t.Errorf("row %s", records[1].Value)
	}
}

// Bad input: a row that is too large is a dead letter with its size, digest and
// beginning, and is kept whole in a file, up to a limit.
func TestAnOversizedRowIsDeadLetteredAndKeptWhole(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.MaxRecordBytes = 200_000
	cfg.Attic.MaxBytes = 1 << 20
	big := `{"name":"a","hostIdentifier":"h","columns":{"x":"` + strings.Repeat("y", 600_000) + `"},"action":"added"}`
	records := ship(t, dir, cfg, call1(extension.TypeString, big), call1(extension.TypeString, big))
	validate(t, records)
	var letters [2]struct {
		Reason, File string
		Size         int
		Truncated    bool
	}
	if len(records) != 4 {
		t.Fatalf("%d records, want two letters with a marker each", len(records))
	}
	for i, r := range []sink.Record{records[0], records[2]} {
		must(t, json.Unmarshal(r.Value, &letters[i]))
		if len(r.Value) > cfg.MaxRecordBytes || letters[i].Reason != "oversized" || letters[i].Size != len(big) || !letters[i].Truncated || r.Topic != "osquery.deadletter" {
			t.Errorf("letter %d of %d bytes: %+v", i, len(r.Value), letters[i])
		}
	}
	kept, err := os.ReadFile(letters[0].File)
	if err != nil || string(kept) != big {
		t.Errorf("kept %d bytes in %q: %v", len(kept), letters[0].File, err)
	}
	if letters[1].File != "" {
		t.Errorf("the second did not fit the limit, but is said to be in %s", letters[1].File)
	}
}

func TestARefusedRecordsDeadLetterNamesIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	source := New(s, config(dir))
	_, err := s.Append(context.Background(), call1(extension.TypeString, `{"name":"a","hostIdentifier":"h","columns":{},"action":"added"}`))
	must(t, err)
	b, err := source.Next(context.Background())
	must(t, err)
	letter, inPlace := source.Refused(b.Records[0], errors.New("MESSAGE_TOO_LARGE"))
	schematest.Validate(t, header(letter, "schema"), letter.Value)
	validate(t, inPlace)
	if len(inPlace) != 1 || inPlace[0].Topic != "osquery.results" || header(inPlace[0], "seq") != "1" || header(inPlace[0], "kind") != "gap" {
		t.Errorf("in its place: %+v", inPlace)
	}
	if !strings.Contains(string(letter.Value), `"seq":1,"row":0`) || !strings.Contains(string(letter.Value), "MESSAGE_TOO_LARGE") {
		t.Errorf("letter %s", letter.Value)
	}
}

// Promises 2 and 4 over restarts: whatever is acknowledged where, each row of
// each call is delivered, in order, and twice only if its batch was not
// acknowledged.
func TestNothingIsPassedOverAcrossRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "shipper")
		must(t, err)
		defer os.RemoveAll(dir)
		var want []string
		n := 0
		var got []string
		for range rapid.IntRange(1, 4).Draw(t, "openings") {
			s := open(t, dir)
			source := New(s, config(dir))
			for range rapid.IntRange(0, 4).Draw(t, "calls") {
				n++
				rows := rapid.SampledFrom([]int{0, 1, 3, maxBatchRecords + 5}).Draw(t, "rows")
				var b strings.Builder
				for i := range rows {
					fmt.Fprintf(&b, `,{"i":"%d"}`, i)
				}
				_, err := s.Append(context.Background(), call1(extension.TypeSnapshot, `{"snapshot":[`+strings.TrimPrefix(b.String(), ",")+`],"name":"q"}`))
				must(t, err)
				for i := range max(1, rows) {
					want = append(want, fmt.Sprintf("%d/%d", n, i))
				}
			}
			for range rapid.IntRange(0, 5).Draw(t, "batches") {
				if !s.Ready() && source.call == nil {
					break
				}
				b, err := source.Next(context.Background())
				must(t, err)
				ack := rapid.SampledFrom([]error{nil, nil, io.ErrUnexpectedEOF}).Draw(t, "ack")
				must(t, b.Ack(ack))
				if ack != nil {
					break // a failed write ends the process's forwarding
				}
				for _, r := range b.Records {
					got = append(got, header(r, "seq")+"/"+header(r, "row"))
				}
			}
			must(t, s.Close())
		}
		s := open(t, dir)
		for _, r := range drain(t, s, New(s, config(dir))) {
			got = append(got, header(r, "seq")+"/"+header(r, "row"))
		}
		must(t, s.Close())
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("delivered %v\nwant %v", got, want)
		}
	})
}

// Bad input: a row of half a gigabyte is spooled, and shipped as a dead letter
// with its size, digest and beginning; what comes after it goes on.
func TestAHalfGigabyteRowStopsNothing(t *testing.T) {
	dir := t.TempDir()
	big := []byte(`{"name":"a","hostIdentifier":"h","columns":{"x":"` + strings.Repeat("y", 512<<20) + `"},"action":"added"}`)
	records := ship(t, dir, config(dir), spool.Call{Stream: "results", Type: extension.TypeString, Payload: big},
		call1(extension.TypeString, `{"name":"b","hostIdentifier":"h","columns":{},"action":"added"}`))
	if len(records) != 3 || records[0].Topic != "osquery.deadletter" || header(records[1], "kind") != "gap" || header(records[2], "query") != "b" {
		t.Fatalf("%d records", len(records))
	}
	validate(t, records)
	if !strings.Contains(string(records[0].Value), fmt.Sprintf(`"size":%d`, len(big))) || len(records[0].Value) > 256<<10 {
		t.Errorf("letter of %d bytes: %.300s", len(records[0].Value), records[0].Value)
	}
}
