package ledger_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const (
	agentA = "0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001"
	agentB = "0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0002"
	runA   = "00000000000000aa"
	runB   = "00000000000000bb"
	topic  = "osquery.results"
)

var t0 = time.Unix(1_760_000_000, 0).UTC()

// found is what these tests read of a finding.
type found struct {
	Event struct {
		ID       string
		Revision int64
	}
	Message string
	Rule    struct{ ID string }
	Finding struct {
		Status string
		Count  int64
		Agents []string
	}
	Host struct{ ID string }
	Loss struct {
		Agent, Run, Topic, Word, Policy, Rows string
		From, To, Calls                       uint64
		AtLeast                               bool   `json:"at_least"`
		RowCount                              uint64 `json:"row_count"`
		Since, Until                          time.Time
	}
}

// book is a ledger under test with what came out of it.
type book struct {
	t interface {
		Fatal(args ...any)
		Fatalf(format string, args ...any)
	}
	cfg      ledger.Config
	state    *state.Memory
	ledger   *ledger.Ledger
	event    enrich.Event
	out      enrich.Out
	offset   int64
	findings map[string]found
}

func newBook(t interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}, cfg ledger.Config) *book {
	cfg.Now = func() time.Time { return t0 }
	b := &book{t: t, cfg: cfg, state: state.NewMemory(), findings: map[string]found{}}
	b.reopen()
	return b
}

// reopen has the ledger's place taken by one that is made of what it flushed.
func (b *book) reopen() {
	if b.ledger != nil {
		if err := b.ledger.Flush(); err != nil {
			b.t.Fatal(err)
		}
	}
	l, err := ledger.New(b.cfg, b.state)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ledger = l
}

// take hands a record in as it comes from a topic, and tells whether it passed.
func (b *book) take(value []byte, topic string, appended time.Time) bool {
	e := &b.event
	*e = enrich.Event{Row: e.Row}
	if err := e.Parse(value); err != nil {
		b.t.Fatal(err)
	}
	b.offset++
	e.Position = enrich.Position{Topic: topic, Offset: b.offset}
	e.Appended = appended
	e.Kind = event.Other
	e.Host, e.ID = enrich.Host(e.HostIdentifier.Text()), e.Position.String()
	if e.Delivered {
		e.Host, e.ID = enrich.Host(e.Delivery.Agent), e.Delivery.Name()
		if !e.HasColumns && !e.Row.Kind.Empty() {
			e.Kind = event.Kind(e.Row.Kind.Text())
		}
	}
	drop, err := b.ledger.Check(e, &b.out)
	if err != nil {
		b.t.Fatal(err)
	}
	b.read()
	return !drop
}

// read takes in the findings that came out. A revision must follow the one before.
func (b *book) read() {
	for _, o := range b.out.Outputs {
		if err := schematest.Check(o.Schema, o.Value); err != nil {
			b.t.Fatalf("%v: %s", err, o.Value)
		}
		var f found
		if err := json.Unmarshal(o.Value, &f); err != nil {
			b.t.Fatal(err)
		}
		want := int64(0)
		if before, ok := b.findings[f.Event.ID]; ok {
			want = before.Event.Revision + 1
		}
		if f.Event.Revision != want {
			b.t.Fatalf("revision %d of %s, want %d", f.Event.Revision, o.Value, want)
		}
		b.findings[f.Event.ID] = f
	}
	b.out.Reset()
}

func (b *book) onTime(agent string, now time.Time) {
	if err := b.ledger.OnTime(enrich.Host(agent), now, &b.out); err != nil {
		b.t.Fatal(err)
	}
	b.read()
}

func (b *book) tick(now time.Time) {
	if err := b.ledger.OnTick(now, &b.out); err != nil {
		b.t.Fatal(err)
	}
	b.read()
}

// open are the findings that hold, by the last call or rows that they speak of.
func (b *book) open() []found {
	var all []found
	for _, id := range slices.Sorted(maps.Keys(b.findings)) {
		if f := b.findings[id]; f.Finding.Status == "open" {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b found) int { return int(int64(a.Loss.To) - int64(b.Loss.To)) })
	return all
}

func (b *book) one(t *testing.T) found {
	t.Helper()
	all := b.open()
	if len(all) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(all), all)
	}
	return all[0]
}

func (b *book) none(t *testing.T, when string) {
	t.Helper()
	if all := b.open(); len(all) > 0 {
		t.Fatalf("%s: %d findings: %+v", when, len(all), all)
	}
}

// record is a row with a name, as logger-ext ships it.
func record(run string, seq uint64, row, rows int, prev string) []byte {
	d := event.Delivery{Agent: agentA, Run: run, Seq: seq, Row: row, Rows: rows, Prev: prev, Spooled: t0.Add(time.Duration(seq) * time.Second)}
	return event.AppendDelivery([]byte(`{"name":"q","hostIdentifier":"h1","columns":{"a":"1"},"action":"added"}`), &d)
}

// first is the one row of a call.
func first(run string, seq, prev uint64) []byte { return record(run, seq, 0, 1, callName(run, prev)) }

func callName(run string, seq uint64) string {
	if seq == 0 {
		return ""
	}
	return run + "/" + strconv.FormatUint(seq, 10)
}

func marker(m event.Marker, run string, seq uint64, prev string) []byte {
	d := event.Delivery{Agent: agentA, Run: run, Seq: seq, Rows: 1, Prev: prev, Spooled: t0.Add(time.Duration(seq) * time.Second)}
	return event.AppendDelivery(m.Append(nil), &d)
}

func heartbeat(agent, run string, seq, prev uint64) []byte {
	d := event.Delivery{Agent: agent, Run: run, Seq: seq, Rows: 1, Prev: callName(run, prev), Spooled: t0}
	beat := event.Beat{Version: "1", ConfigState: "ok", Clock: t0, Started: t0}
	return event.AppendDelivery(beat.Append(nil), &d)
}
