package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Held is a lease that this process holds, while Work runs. Its methods are for the
// goroutine of Work, but for Asked.
type Held struct {
	// Lease is the item as it was when the lease was taken, then as Move left it.
	Lease

	table  *Table
	me     string
	period time.Duration
	log    func(msg string, args ...any)
	now    func() time.Time

	// What the renewing goroutine changes.
	mu      sync.Mutex
	renewed time.Time               // when the last renewal that succeeded was begun
	stop    context.CancelCauseFunc // ends Work's context
	asked   chan struct{}
	isAsked bool
	lost    chan struct{}
	isLost  bool
}

// Lost is closed when the lease may be another's: nothing of the shard may be told or
// written from then on. Work's context ends with it; when that ended before, since the
// process is to stop, Lost still tells.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// lose is called with mu held.
func (h *Held) lose() {
	if !h.isLost {
		h.isLost = true
		close(h.lost)
		h.stop(ErrLost)
	}
}

// Asked is closed when another worker asked for the lease: the holder is to finish
// what is under way, and return.
func (h *Held) Asked() <-chan struct{} { return h.asked }

// Move writes how far the shard is read. It tries until that is certain: its error is
// ErrLost, or ctx's. When it returns nil, nobody else had moved it on since.
func (h *Held) Move(ctx context.Context, to Progress) error { return h.move(ctx, to, nil) }

// End writes that the shard was read to its end, and which follow on it.
func (h *Held) End(ctx context.Context, to Progress, children []string) error {
	to.Checkpoint = Checkpoint{Sequence: ShardEnd}
	return h.move(ctx, to, children)
}

func (h *Held) move(ctx context.Context, to Progress, children []string) error {
	pause := newPause(h.period / 4)
	for tries := 0; ; tries++ {
		after, err := h.table.move(ctx, h.Key, h.me, h.Journal, to, children)
		if errors.Is(err, ErrLost) && tries > 0 {
			// An earlier try may have been taken though its answer was lost.
			var now *Lease
			if now, err = h.table.Get(ctx, h.Key); err == nil {
				if now == nil || now.Holder() != h.me || now.Progress != to {
					return ErrLost
				}
				after = now
			}
		}
		if err == nil {
			h.Progress, h.Switches = after.Progress, after.Switches
			return nil
		}
		if errors.Is(err, ErrLost) {
			return err
		}
		h.log("checkpoint not written, will try again", "shard", h.Key, "error", err)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newPause(longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(100*time.Millisecond, longest)), backoff.WithMaxInterval(longest), backoff.WithMaxElapsedTime(0))
}

// renew keeps the lease, or gives up when it is lost or could not be kept in time.
func (h *Held) renew(ctx context.Context) {
	began := h.now()
	l, err := h.table.renew(ctx, h.Key, h.me)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.renewed = began
		if l.Finishing == h.me && !h.isAsked {
			h.isAsked = true
			close(h.asked)
		}
	case errors.Is(err, ErrLost):
		h.lose()
	case ctx.Err() == nil:
		h.log("lease not renewed, will try again", "shard", h.Key, "error", err)
		if h.now().Sub(h.renewed) >= h.period {
			h.lose()
		}
	}
}

// overdue gives the lease up once it could not be renewed for its period: another
// worker may take it from then on.
func (h *Held) overdue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now().Sub(h.renewed) >= h.period {
		h.lose()
	}
}
