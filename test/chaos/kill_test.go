//go:build chaos || e2e

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// Promises 1, 2 and 4: logger-ext is killed at random points of its life, while
// rows come in and the broker comes and goes. No row that was answered OK is lost,
// a repeat bears the same name and bytes, order is kept, and every restart works.
func TestKillNineUnderLoadLosesNothing(t *testing.T) {
	eachSeed(t, killSeeds, func(t *testing.T, rng *rand.Rand) {
		broker := newShakyBroker(t)
		h := newHost(t, broker.addr())
		h.Interval, h.Timeout = 200*time.Millisecond, 2*time.Second
		start(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		var trouble sync.WaitGroup
		killer, shaker, loader := split(rng), split(rng), split(rng)
		trouble.Go(func() { defer cancel(); kill(ctx, h, killer) })
		trouble.Go(func() { shake(ctx, broker, shaker) })
		l := load(ctx, t, h, loader)
		trouble.Wait()
		broker.setAway(false)
		killOnce(h) // a new process waits for no backoff
		activate(t, h)
		records := l.await(t, broker.addr())
		repeats := checkNames(t, records)
		_, starts := h.PID()
		t.Logf("%d calls, %d rows promised, %d records, %d repeats, %d starts", len(l.rows), l.promised(), len(records), repeats, starts)
	})
}

func split(rng *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())) }

// activate waits until osqueryd logs again. One that was killed after it had asked
// to be registered, and before it listened, leaves a registration behind that
// osqueryd gives up after its own timeout: it would end then, and be started again.
func activate(t *testing.T, h *loggertest.Host) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := h.Activate(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("logger-ext does not come back: %v", err)
		}
	}
}

// kill kills the process a few times: in the middle of calls, and while it starts.
func kill(ctx context.Context, h *loggertest.Host, rng *rand.Rand) {
	for range 2 + rng.IntN(3) {
		if rng.IntN(3) > 0 {
			_ = h.Activate(ctx) // the loader tells when it never comes
		}
		if !pause(ctx, time.Duration(rng.IntN(120_000))*time.Microsecond) {
			return
		}
		killOnce(h)
	}
	pause(ctx, time.Duration(rng.IntN(100))*time.Millisecond)
}

// killOnce kills the process and has osqueryd forget it, as its next ping would.
func killOnce(h *loggertest.Host) {
	if err := h.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
	h.Forget()
}

// shake takes the broker away and back.
func shake(ctx context.Context, b interface{ setAway(away bool) }, rng *rand.Rand) {
	for away := true; pause(ctx, time.Duration(rng.IntN(80))*time.Millisecond); away = !away {
		b.setAway(away)
	}
}

// load logs until ctx ends. A call that is not answered OK may or may not have been
// spooled; the real osqueryd would end, and go on after its start.
func load(ctx context.Context, t *testing.T, h *loggertest.Host, rng *rand.Rand) *ledger {
	t.Helper()
	l := &ledger{}
	for ctx.Err() == nil {
		n := []int{0: 1, 1: 1, 2: 3, 3: 40}[rng.IntN(4)]
		if rng.IntN(200) == 0 {
			n = 2_500 // more than one batch
		}
		err := h.LogString(t.Context(), line(len(l.rows), n, 1+rng.IntN(300), rng))
		l.note(n, err)
		if err != nil {
			activate(t, h)
		}
	}
	return l
}
