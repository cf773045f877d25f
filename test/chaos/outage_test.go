//go:build chaos || e2e

package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// steady logs a call every few milliseconds until ctx ends, and tells how long each
// took and how much memory the process had.
type steady struct {
	calls   []time.Duration
	rss     []int64
	ledger  *ledger
	rng     *rand.Rand
	perCall int
}

func (s *steady) run(ctx context.Context, t *testing.T, h *loggertest.Host) (median time.Duration, rss int64) {
	t.Helper()
	s.calls, s.rss = nil, nil
	pid, _ := h.PID()
	for pause(ctx, 5*time.Millisecond) {
		text := line(len(s.ledger.rows), s.perCall, 200, s.rng)
		began := time.Now()
		err := h.LogString(t.Context(), text)
		s.calls = append(s.calls, time.Since(began))
		must(t, err)
		s.ledger.note(s.perCall, nil)
		m, err := loggertest.RSS(pid)
		must(t, err)
		s.rss = append(s.rss, m)
	}
	slices.Sort(s.calls)
	slices.Sort(s.rss)
	return s.calls[len(s.calls)/2], s.rss[len(s.rss)-1]
}

// Promises 1 and 4 while the broker is away: no row is lost, order is kept, calls
// are answered as fast as with it, and memory does not grow with what waits.
func TestABrokerThatIsAwayCostsNothingButDisk(t *testing.T) {
	broker := newShakyBroker(t)
	h := newHost(t, broker.addr())
	start(t, h)
	s := &steady{ledger: &ledger{}, rng: rand.New(rand.NewPCG(1, 1)), perCall: 20}
	phase := func(d time.Duration) (time.Duration, int64) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		return s.run(ctx, t, h)
	}
	with, rssWith := phase(outage / 4)
	broker.setAway(true)
	away, rssAway := phase(outage)
	waiting := len(s.ledger.rows)
	broker.setAway(false)
	back, rssBack := phase(outage / 4)
	records := s.ledger.await(t, broker.addr())
	checkNames(t, records)
	t.Logf("%d calls (%d when the broker came back); median call %v with the broker, %v without, %v after; highest RSS %d, %d, %d MiB",
		len(s.ledger.rows), waiting, with, away, back, rssWith>>20, rssAway>>20, rssBack>>20)
	if away > 3*with+50*time.Millisecond { // the test runs beside others
		t.Errorf("a call takes %v while the broker is away, %v with it", away, with)
	}
	if limit := max(rssWith*3/2, 48<<20); rssAway > limit {
		t.Errorf("RSS is %d MiB while the broker is away, %d MiB with it", rssAway>>20, rssWith>>20)
	}
}
