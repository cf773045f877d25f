package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// sentCall is a call, or the marker of calls, as an agent sends it to one topic.
type sentCall struct {
	topic, run, prev string
	seq              uint64
	rows             int
	marker           bool
}

func (c *sentCall) name() string { return callName(c.run, c.seq) }

func (c *sentCall) records() [][]byte {
	if c.marker {
		return [][]byte{marker(event.Marker{Reason: "dropped", Policy: "drop_oldest", From: c.seq, Calls: 1}, c.run, c.seq, c.prev)}
	}
	all := make([][]byte, max(c.rows, 1))
	for i := range all {
		all[i] = record(c.run, c.seq, i, c.rows, c.prev)
	}
	return all
}

// history draws what one agent sends in some runs to two topics.
func history(t *rapid.T) []sentCall {
	prev := map[string]string{}
	var all []sentCall
	n := rapid.IntRange(1, 24).Draw(t, "calls")
	run := 0
	for seq := uint64(1); seq <= uint64(n); seq++ {
		if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
			run++
		}
		c := sentCall{
			topic: rapid.SampledFrom([]string{"results", "status"}).Draw(t, "topic"), run: fmt.Sprintf("%016x", run), seq: seq,
			rows: rapid.IntRange(0, 3).Draw(t, "rows"), marker: rapid.IntRange(0, 7).Draw(t, "marker") == 0,
		}
		c.prev = prev[c.topic]
		prev[c.topic] = c.name()
		all = append(all, c)
	}
	return all
}

// step is one record on its way.
type step struct {
	call, row int
}

// deliveries draws what comes of a history: records in order, now and then from
// somewhere before on again, some never.
func deliveries(t *rapid.T, calls []sentCall, lossy bool) []step {
	var line []step
	for i := range calls {
		for row := range calls[i].records() {
			line = append(line, step{i, row})
		}
	}
	var all []step
	again := 0
	for at := 0; at < len(line); at++ {
		if !lossy || rapid.IntRange(0, 4).Draw(t, "lost") > 0 {
			all = append(all, line[at])
		}
		if at > 0 && again < 12 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
			again++
			at = max(-1, at-rapid.IntRange(1, 8).Draw(t, "back"))
		}
	}
	return all
}

// expected is what must be said to be missing in the end, given the rows that came.
func expected(calls []sentCall, came map[step]bool) []string {
	some := func(i int) bool {
		return slices.ContainsFunc([]int{0, 1, 2}, func(row int) bool { return came[step{i, row}] })
	}
	var want []string
	for _, topic := range []string{"results", "status"} {
		before := -1 // the call before on this topic
		begun := false
		for i := range calls {
			c := &calls[i]
			if c.topic != topic {
				continue
			}
			if some(i) {
				if before >= 0 && !some(before) && begun {
					want = append(want, topic+" lost "+calls[before].name())
				}
				begun = true
				if n := len(c.records()); c.marker {
					want = append(want, topic+" dropped "+c.name())
				} else if slices.ContainsFunc([]int{0, 1, 2}[:n], func(row int) bool { return !came[step{i, row}] }) {
					want = append(want, topic+" rows "+c.name())
				}
			}
			before = i
		}
	}
	slices.Sort(want)
	return want
}

func (b *book) said() []string {
	var got []string
	for _, f := range b.open() {
		got = append(got, fmt.Sprintf("%s %s %s/%d", f.Loss.Topic, f.Loss.Word, f.Loss.Run, f.Loss.To))
	}
	slices.Sort(got)
	return got
}

// play hands the deliveries in and checks each answer. It returns what came.
func play(t *rapid.T, b *book, calls []sentCall, steps []step) map[step]bool {
	came := map[step]bool{}
	for _, s := range steps {
		c := &calls[s.call]
		if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
			b.reopen()
		}
		passed := b.take(c.records()[s.row], c.topic, time.Time{})
		if !passed && !came[s] {
			t.Fatalf("row %s/%d was dropped and had not come before", c.name(), s.row)
		}
		if passed && came[s] && b.cfg.MaxRanges == 0 {
			t.Fatalf("row %s/%d passed twice", c.name(), s.row)
		}
		came[s] = true
	}
	b.onTime(agentA, t0)
	b.onTime(agentA, t0.Add(time.Hour)) // the last call waits for its rows
	return came
}

func TestEachRowPassesOnceAndEachLossIsToldOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := history(t)
		b := newBook(t, ledger.Config{})
		came := play(t, b, calls, deliveries(t, calls, true))
		if got, want := b.said(), expected(calls, came); !slices.Equal(got, want) {
			t.Fatalf("said to be missing\n%q, is\n%q\nof %+v\nwith %v", got, want, calls, slices.Collect(maps.Keys(came)))
		}
	})
}

func TestNothingIsToldWhenNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := slices.DeleteFunc(history(t), func(c sentCall) bool { return c.marker })
		prev := map[string]string{}
		for i := range calls {
			calls[i].prev = prev[calls[i].topic]
			prev[calls[i].topic] = calls[i].name()
		}
		b := newBook(t, ledger.Config{})
		play(t, b, calls, deliveries(t, calls, false))
		for _, f := range b.findings {
			if f.Loss.Word != "rows" || f.Finding.Status != "retracted" { // a call that was cut off half way and came again
				t.Fatalf("told %+v", f)
			}
		}
	})
}

// Whatever is forgotten to stay within bounds, a row that did not come before is not
// dropped.
func TestBoundsNeverCostARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := history(t)
		b := newBook(t, ledger.Config{MaxRanges: 2, MaxPartial: 1, MaxRuns: 1})
		play(t, b, calls, deliveries(t, calls, true))
	})
}
