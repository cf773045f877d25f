package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func TestTopicsThatShareTheNumbersHaveNoGaps(t *testing.T) {
	b := newBook(t, ledger.Config{})
	last := map[string]uint64{}
	for seq := uint64(1); seq <= 40; seq++ {
		on := []string{"results", "status", "dns"}[seq*seq%3]
		if !b.take(first(runA, seq, last[on]), on, time.Time{}) {
			t.Fatalf("call %d was dropped", seq)
		}
		last[on] = seq
	}
	b.none(t, "in order")
}

func TestTheFirstCallSeenIsTheBase(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runA, 100, 98), topic, time.Time{})
	b.take(first(runA, 102, 100), topic, time.Time{})
	b.none(t, "after the base")
}

func TestALostCallIsToldWithHostRangeAndTime(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runA, 1, 0), topic, time.Time{})
	b.take(first(runA, 9, 7), topic, time.Time{})
	f := b.one(t)
	if l := f.Loss; l.Word != "lost" || l.Agent != agentA || l.Run != runA || l.Topic != topic || l.From != 2 || l.To != 7 || l.Calls != 1 || !l.AtLeast {
		t.Errorf("loss %+v", l)
	}
	if f.Host.ID != agentA || !f.Loss.Since.Equal(t0.Add(time.Second)) || !f.Loss.Until.Equal(t0.Add(9*time.Second)) || !strings.Contains(f.Message, "h1 ("+agentA+")") {
		t.Errorf("host %s, loss %+v: %s", f.Host.ID, f.Loss, f.Message)
	}
}

func TestACallThatComesAfterAllShrinksAndWithdrawsItsGap(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runA, 1, 0), topic, time.Time{})
	b.take(first(runA, 9, 8), topic, time.Time{})
	b.take(first(runA, 4, 3), topic, time.Time{})
	all := b.open()
	if len(all) != 2 || all[0].Loss.To != 3 || all[0].Loss.From != 2 || all[1].Loss.From != 5 || all[1].Loss.To != 8 || all[1].Event.Revision != 1 ||
		!all[1].Loss.Since.Equal(t0.Add(4*time.Second)) || !all[0].Loss.Until.Equal(t0.Add(4*time.Second)) {
		t.Fatalf("findings %+v", all)
	}
	b.reopen()
	for _, c := range [][2]uint64{{3, 1}, {8, 4}} {
		if !b.take(first(runA, c[0], c[1]), topic, time.Time{}) {
			t.Fatalf("call %d, which was missing, was dropped", c[0])
		}
	}
	b.none(t, "when all came")
	if len(b.findings) != 2 {
		t.Errorf("%d findings, want 2 that are retracted", len(b.findings))
	}
}

func TestAMarkerIsToldOnceAndLeavesNoOtherGap(t *testing.T) {
	b := newBook(t, ledger.Config{})
	lost := marker(event.Marker{Reason: "dropped", Policy: "drop_oldest", From: 2, Calls: 5, Bytes: 700}, runA, 8, callName(runA, 1))
	b.take(first(runA, 1, 0), topic, time.Time{})
	if !b.take(lost, topic, time.Time{}) || b.take(lost, topic, time.Time{}) {
		t.Error("the marker passes once, and only once")
	}
	b.reopen()
	b.take(first(runA, 9, 8), topic, time.Time{})
	if l := b.one(t).Loss; l.Word != "dropped" || l.Policy != "drop_oldest" || l.From != 2 || l.To != 8 || l.Calls != 5 || l.AtLeast {
		t.Errorf("loss %+v", l)
	}
}

func TestAMarkerExplainsAGapThatWasTold(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runA, 1, 0), topic, time.Time{})
	b.take(first(runA, 9, 8), topic, time.Time{})
	b.take(marker(event.Marker{Reason: "unwritable", From: 2, Calls: 3}, runA, 8, callName(runA, 1)), topic, time.Time{})
	if f := b.one(t); f.Loss.Word != "unwritable" || f.Event.Revision != 1 || f.Loss.Calls != 3 {
		t.Errorf("finding %+v", f)
	}
}

func TestOneLossOfUnknownTopicIsOneFinding(t *testing.T) {
	b := newBook(t, ledger.Config{})
	damage := event.Marker{Reason: "damaged", From: 2, Calls: 3, Possible: true}
	for _, on := range []string{"results", "status"} {
		b.take(marker(damage, runA, 8, ""), on, time.Time{})
		b.reopen()
	}
	if f := b.one(t); f.Loss.Topic != "" || f.Loss.Word != "damaged" {
		t.Errorf("finding %+v", f)
	}
}

func TestMarkersOfRowsCallsAndAbsencesAreTold(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(record(runA, 1, 0, 2, ""), topic, time.Time{})
	d := event.Delivery{Agent: agentA, Run: runA, Seq: 1, Row: 1, Rows: 2, Spooled: t0}
	oversized := event.Marker{Reason: "oversized", Bytes: 2_000_000}
	b.take(event.AppendDelivery(oversized.Append(nil), &d), topic, time.Time{})
	b.take(marker(event.Marker{Reason: "unreadable", Bytes: 9}, runA, 2, callName(runA, 1)), topic, time.Time{})
	b.take(marker(event.Marker{Reason: "unregistered", Since: t0, Until: t0.Add(time.Minute)}, runA, 3, callName(runA, 2)), topic, time.Time{})
	b.take(first(runA, 4, 3), topic, time.Time{})
	words := map[string]found{}
	for _, f := range b.open() {
		words[f.Loss.Word] = f
	}
	if len(words) != 3 || words["oversized"].Loss.Rows != "1" || words["unreadable"].Loss.Calls != 1 || !words["unregistered"].Loss.Until.Equal(t0.Add(time.Minute)) {
		t.Errorf("findings %+v", words)
	}
}

func TestMissingRowsAreToldWithTheNextCallOrAfterAWait(t *testing.T) {
	for name, next := range map[string]func(*book){
		"next call":            func(b *book) { b.take(first(runA, 2, 1), topic, time.Time{}) },
		"next call, new run":   func(b *book) { b.take(record(runB, 2, 0, 1, callName(runA, 1)), topic, time.Time{}) },
		"the host's clock":     func(b *book) { b.onTime(agentA, t0.Add(10*time.Minute)) },
		"clock, after a crash": func(b *book) { b.reopen(); b.onTime(agentA, t0.Add(10*time.Minute)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, ledger.Config{})
			b.onTime(agentA, t0)
			for _, row := range []int{0, 1, 4, 9} {
				b.take(record(runA, 1, row, 11, ""), topic, time.Time{})
			}
			b.onTime(agentA, t0.Add(time.Minute))
			b.none(t, "while rows may still come")
			next(b)
			if l := b.one(t).Loss; l.Word != "rows" || l.To != 1 || l.Rows != "2-3,5-8,10" || l.RowCount != 7 {
				t.Fatalf("loss %+v", l)
			}
			b.reopen()
			for _, row := range []int{10, 2, 3, 5, 7, 6, 8} {
				if !b.take(record(runA, 1, row, 11, ""), topic, time.Time{}) {
					t.Fatalf("row %d, which was missing, was dropped", row)
				}
			}
			b.none(t, "when all rows came")
			if b.take(record(runA, 1, 4, 11, ""), topic, time.Time{}) {
				t.Error("a row passed twice")
			}
		})
	}
}

func TestAnEmptyResultIsACall(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(record(runA, 1, 0, 0, ""), topic, time.Time{})
	if b.take(record(runA, 1, 0, 0, ""), topic, time.Time{}) {
		t.Error("it passed twice")
	}
	b.take(record(runA, 2, 0, 0, callName(runA, 1)), topic, time.Time{})
	b.take(record(runA, 4, 0, 0, callName(runA, 3)), topic, time.Time{})
	if l := b.one(t).Loss; l.To != 3 || l.AtLeast {
		t.Errorf("loss %+v", l)
	}
}

func TestACopiedSpoolIsNoDuplicateAndTheTailOfARunIsMissed(t *testing.T) {
	b := newBook(t, ledger.Config{})
	for seq := uint64(1); seq <= 5; seq++ {
		b.take(first(runA, seq, seq-1), topic, time.Time{})
	}
	// Rolled back to call 3, it goes on under a run of its own.
	if !b.take(record(runB, 4, 0, 1, callName(runA, 3)), topic, time.Time{}) || !b.take(first(runB, 5, 4), topic, time.Time{}) {
		t.Error("a call of another run was taken for a duplicate")
	}
	b.none(t, "after a rollback")
	b.take(record("00000000000000cc", 9, 0, 1, callName(runB, 8)), topic, time.Time{})
	if l := b.one(t).Loss; l.Run != runB || l.From != 6 || l.To != 8 {
		t.Errorf("loss %+v", l)
	}
}

func TestOldRunsAreForgottenAndTheNewestNever(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.onTime(agentA, t0)
	b.take(first(runA, 1, 0), topic, time.Time{})
	b.onTime(agentA, t0.Add(time.Second))
	b.take(record(runB, 2, 0, 1, callName(runA, 1)), topic, time.Time{})
	b.onTime(agentA, t0.Add(30*24*time.Hour))
	b.reopen()
	if keys := b.keys(); keys != 2 { // the host's and run B's
		t.Errorf("%d keys are left", keys)
	}
	if b.take(record(runB, 2, 0, 1, callName(runA, 1)), topic, time.Time{}) {
		t.Error("the newest run was forgotten")
	}
}

// A host was switched off for weeks with a spool that had not been sent. What it sends
// twice of that, after rows of its new run, comes twice nevertheless.
func TestARunIsRememberedWhateverItsHostsClockSays(t *testing.T) {
	b := newBook(t, ledger.Config{})
	month := t0.Add(30 * 24 * time.Hour)
	b.take(first(runA, 1, 0), topic, month)
	b.onTime(agentA, t0)
	b.take(first(runA, 2, 1), topic, month)
	b.take(record(runB, 3, 0, 1, callName(runA, 2)), topic, month)
	b.onTime(agentA, month)
	b.reopen()
	if b.take(first(runA, 2, 1), topic, month.Add(time.Minute)) {
		t.Error("the run was forgotten")
	}
	b.take(record(runB, 4, 0, 1, callName(runB, 3)), topic, month.Add(8*24*time.Hour))
	b.onTime(agentA, month.Add(time.Minute))
	b.reopen()
	if keys := b.keys(); keys != 2 { // the host's and run B's
		t.Errorf("%d keys are left", keys)
	}
}

func TestACrashLoopKeepsAFewRuns(t *testing.T) {
	b := newBook(t, ledger.Config{MaxRuns: 4})
	prev := ""
	for i := range uint64(100) {
		run := strings.Repeat("0", 13) + callName("", 100+i)[1:]
		b.take(record(run, i+1, 0, 1, prev), topic, time.Time{})
		b.onTime(agentA, t0.Add(time.Duration(i)*time.Second))
		prev = callName(run, i+1)
	}
	b.reopen()
	if keys := b.keys(); keys > 6 {
		t.Errorf("%d keys for 100 runs", keys)
	}
	b.none(t, "in a crash loop")
}

// With built_in_names rows have no delivery, but heartbeats do, and name calls that
// nobody sees.
func TestRowsWithoutNamesAreCountedAndNotMissed(t *testing.T) {
	b := newBook(t, ledger.Config{})
	var hosts int64
	foreign := []byte(`{"name":"q","hostIdentifier":"h1","columns":{"a":"1"},"action":"added"}`)
	for i := range 3 {
		if !b.take(foreign, topic, time.Time{}) {
			t.Fatal("a row without a name was dropped")
		}
		if said := len(b.event.Gaps) == 1 && b.event.Gaps[0].Reason == "no_delivery"; said != (i == 0) {
			t.Errorf("row %d: gaps %v", i, b.event.Gaps)
		}
		stats := b.ledger.TakeStats()
		if hosts += stats.UnnamedHosts; stats.Unnamed != 1 || hosts != 1 {
			t.Errorf("row %d: stats %+v, %d hosts", i, stats, hosts)
		}
		b.reopen()
	}
	b.take(heartbeat(agentA, runA, 10, 9), topic, time.Time{})
	b.take(heartbeat(agentA, runA, 20, 19), topic, time.Time{})
	b.none(t, "between heartbeats")
	b.take(first(runA, 30, 20), topic, time.Time{})
	b.take(first(runA, 33, 32), topic, time.Time{})
	if l := b.one(t).Loss; l.From != 31 || l.To != 32 {
		t.Errorf("loss %+v of an agent that names its rows", l)
	}
}

func TestImpossibleNamesPass(t *testing.T) {
	b := newBook(t, ledger.Config{})
	for _, d := range []event.Delivery{{Seq: 0, Rows: 1}, {Seq: 1<<64 - 1, Rows: 1}, {Seq: 5, Row: 3, Rows: 2}, {Seq: 5, Row: -1, Rows: 2}} {
		d.Agent, d.Run = agentA, runA
		value := event.AppendDelivery([]byte(`{"columns":{}}`), &d)
		if !b.take(value, topic, time.Time{}) || !b.take(value, topic, time.Time{}) {
			t.Errorf("%+v was dropped", d)
		}
	}
	if stats := b.ledger.TakeStats(); stats.Unsure != 8 {
		t.Errorf("stats %+v", stats)
	}
}
