package ledger_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// full is a book with all that a State can hold.
func full(t interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}) *book {
	b := newBook(t, ledger.Config{})
	b.onTime(agentA, t0)
	b.take([]byte(`{"name":"q","hostIdentifier":"h1","columns":{}}`), "other", t0)
	b.take(heartbeat(agentA, runA, 2, 1), topic, t0)
	b.take(first(runA, 9, 5), topic, t0)
	b.take(marker(event.Marker{Reason: "dropped", Policy: "drop_oldest", From: 10, Calls: 3, Bytes: 7}, runA, 12, callName(runA, 9)), topic, t0)
	b.take(record(runA, 13, 2, 5, callName(runA, 12)), topic, t0)
	b.take(record(runA, 14, 1, 5, callName(runA, 13)), topic, t0)
	for i := range uint64(3) {
		b.sends(agentB, i+1, t0.Add(time.Duration(i)*time.Minute))
		b.take(first(runA, 20+i, 19+i), "other", t0.Add(time.Duration(i)*time.Minute))
	}
	b.ticks(t0, t0.Add(30*time.Minute))
	b.reopen()
	return b
}

func TestWhatIsFlushedIsReadAgain(t *testing.T) {
	b := full(t)
	values := func() (all [][]byte) {
		_ = b.state.Hosts(func(h enrich.Host) error {
			return b.state.Scan(h, nil, func(key, value []byte) error {
				all = append(all, append(bytes.Clone(key), value...))
				return nil
			})
		})
		return all
	}
	before := values()
	// A row that came before changes the host's record at most; a tick of a second
	// later has nothing to tell.
	b.reopen()
	b.tick(t0.Add(30*time.Minute + time.Second))
	b.reopen()
	after := values()
	if len(before) < 5 || len(before) != len(after) {
		t.Fatalf("%d values, then %d", len(before), len(after))
	}
	for i := range before {
		if !bytes.Equal(before[i], after[i]) {
			t.Errorf("%q became %q", before[i], after[i])
		}
	}
}

func TestAStateOfAnotherFormatIsRefused(t *testing.T) {
	b := full(t)
	if err := b.state.Put(agentA, []byte("h"), []byte{9, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.New(ledger.Config{}, b.state); err == nil {
		t.Error("format 9 is read")
	}
}

// A State that is not as it was written is refused or read, and what was read can be
// worked with.
func FuzzState(f *testing.F) {
	b := full(f)
	_ = b.state.Hosts(func(h enrich.Host) error {
		return b.state.Scan(h, nil, func(key, value []byte) error {
			f.Add(bytes.Clone(key), bytes.Clone(value))
			return nil
		})
	})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(value) == 0 {
			return
		}
		st := state.NewMemory()
		if err := st.Put(agentA, key, value); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.New(ledger.Config{}, st); err != nil {
			return
		}
		b := &book{t: t, state: st, findings: map[string]found{}}
		b.reopen()
		e := &b.event
		for _, v := range [][]byte{first(runA, 3, 2), record(runB, 5, 1, 3, callName(runA, 4)), first(runA, 9, 8)} {
			*e = enrich.Event{Row: e.Row}
			if err := e.Parse(v); err != nil {
				t.Fatal(err)
			}
			e.Host, e.Position.Topic = agentA, topic
			if _, err := b.ledger.Check(e, &b.out); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.ledger.OnTime(agentA, t0.Add(time.Hour), &b.out); err != nil {
			t.Fatal(err)
		}
		if err := b.ledger.Flush(); err != nil {
			t.Fatal(err)
		}
	})
}
