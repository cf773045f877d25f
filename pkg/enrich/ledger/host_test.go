package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// keys counts what the State holds.
func (b *book) keys() (n int) {
	err := b.state.Hosts(func(h enrich.Host) error {
		return b.state.Scan(h, nil, func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// ticks has time go by in the partition until end, in steps of a second.
func (b *book) ticks(from, end time.Time) {
	for now := from; !now.After(end); now = now.Add(time.Second) {
		b.tick(now)
	}
}

func TestAHostThatFallsSilentIsToldAndItsReturnToo(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(heartbeat(agentA, runA, 1, 0), topic, t0)
	b.reopen()
	b.ticks(t0, t0.Add(15*time.Minute-time.Second))
	b.none(t, "before three heartbeats' time")
	b.ticks(t0.Add(15*time.Minute), t0.Add(20*time.Minute))
	if f := b.one(t); f.Rule.ID != "host_silent" || f.Host.ID != agentA || f.Event.Revision != 0 {
		t.Fatalf("finding %+v", f)
	}
	b.reopen()
	b.take(first(runA, 2, 1), topic, t0.Add(21*time.Minute))
	b.none(t, "when it sends again")
	b.ticks(t0.Add(21*time.Minute), t0.Add(40*time.Minute))
	if n := len(b.findings); n != 2 || len(b.open()) != 1 {
		t.Errorf("%d findings after a second silence, %d open", n, len(b.open()))
	}
}

func TestAnyRowIsASignOfLife(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(heartbeat(agentA, runA, 1, 0), topic, t0)
	for m := range uint64(40) {
		now := t0.Add(time.Duration(m) * time.Minute)
		b.take(first(runA, m+2, m+1), topic, now)
		b.tick(now)
	}
	b.none(t, "while rows come")
}

// Nobody can tell silence from a query that runs once a day.
func TestAHostThatSendsNoHeartbeatsIsNeverSilent(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runA, 1, 0), topic, t0)
	b.ticks(t0, t0.Add(time.Hour))
	b.none(t, "without heartbeats")
}

func TestAnOutageOfOursMakesNobodySilent(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(heartbeat(agentA, runA, 1, 0), topic, t0)
	b.tick(t0.Add(time.Second))
	back := t0.Add(3 * time.Hour)
	b.ticks(back, back.Add(14*time.Minute))
	b.none(t, "after an outage")
	b.ticks(back.Add(14*time.Minute), back.Add(15*time.Minute))
	b.one(t)
}

func TestAHostThatIsGoneForLongIsForgotten(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(heartbeat(agentA, runA, 1, 0), topic, t0)
	b.reopen()
	b.tick(t0.Add(31 * 24 * time.Hour))
	b.reopen()
	if keys := b.keys(); keys != 0 {
		t.Errorf("%d keys are left", keys)
	}
	b.take(first(runA, 100, 99), topic, t0.Add(32*24*time.Hour))
	b.none(t, "when it comes back")
}

// sends is a row that an agent sends under the host identifier h1.
func (b *book) sends(agent string, seq uint64, at time.Time) {
	d := event.Delivery{Agent: agent, Run: runA, Seq: seq, Rows: 1, Prev: callName(runA, seq-1), Spooled: at}
	b.take(event.AppendDelivery([]byte(`{"name":"q","hostIdentifier":"h1","columns":{"a":"1"}}`), &d), topic, at)
}

func TestTwoAgentsThatTakeTurnsAreAConflictAndAReinstallIsNone(t *testing.T) {
	agentC := agentA[:len(agentA)-1] + "3"
	for name, c := range map[string]struct {
		agents []string
		every  time.Duration
		want   int
	}{
		"reinstalled twice":     {[]string{agentA, agentA, agentB, agentB, agentC, agentC}, time.Minute, 0},
		"rolled back":           {[]string{agentA, agentB, agentA, agentA}, time.Minute, 0},
		"both alive":            {[]string{agentA, agentB, agentA, agentB, agentA, agentB}, 5 * time.Minute, 1},
		"three alive":           {[]string{agentA, agentB, agentC, agentA, agentB, agentC, agentA}, time.Minute, 3},
		"changes over weeks":    {[]string{agentA, agentB, agentA, agentB}, 200 * time.Hour, 0},
		"both alive, once told": {[]string{agentA, agentB, agentA, agentB, agentA, agentB, agentA, agentB, agentA, agentB}, time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, ledger.Config{})
			seq := map[string]uint64{}
			for i, agent := range c.agents {
				seq[agent]++
				b.sends(agent, seq[agent], t0.Add(time.Duration(i)*c.every))
				if i%2 == 0 {
					b.reopen()
				}
			}
			all := b.open()
			if len(all) != c.want {
				t.Fatalf("%d findings, want %d: %+v", len(all), c.want, all)
			}
			for _, f := range all {
				if f.Rule.ID != "identity_conflict" || len(f.Finding.Agents) != 2 || f.Event.Revision != 0 {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name  string
		rows  int
		hosts int
	}{{"row of a call of one", 1, 1}, {"row of a call of 100", 100, 1}, {"a thousand hosts in turn", 1, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			book := newBook(b, ledger.Config{})
			e := &book.event
			agents := make([]string, c.hosts)
			raws, prevs := make([][]byte, c.hosts), make([]string, c.hosts)
			for i := range agents {
				agents[i] = fmt.Sprintf("0f9a6c1e-7d2b-4c1f-9a55-%012d", i)
				raws[i] = []byte(agents[i])
			}
			if err := e.Parse(first(runA, 1, 0)); err != nil {
				b.Fatal(err)
			}
			e.Position.Topic, e.Appended = topic, t0
			names := make([]string, 1<<16)
			for i := range names {
				names[i] = callName(runA, uint64(i))
			}
			seqs := make([]uint64, c.hosts)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h := i % c.hosts
				if row := i / c.hosts % c.rows; row == 0 {
					seqs[h]++
					if seqs[h] == 1<<16 {
						b.StopTimer()
						book = newBook(b, ledger.Config{})
						seqs = make([]uint64, c.hosts)
						seqs[h] = 1
						b.StartTimer()
					}
					prevs[h] = names[seqs[h]-1]
					e.Delivery.Row = 0
				} else {
					e.Delivery.Row = row
				}
				e.Host, e.HostIdentifier.Raw = enrich.Host(agents[h]), raws[h]
				e.Delivery.Agent, e.Delivery.Seq, e.Delivery.Rows, e.Delivery.Prev = agents[h], seqs[h], c.rows, prevs[h]
				if drop, err := book.ledger.Check(e, &book.out); drop || err != nil {
					b.Fatalf("row %d: dropped %v, error %v", i, drop, err)
				}
			}
		})
	}
}
