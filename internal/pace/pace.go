// Package pace keeps shipping from being a burden: on the host it runs on, by a
// budget of CPU time, and on a cluster that comes back to a whole fleet, by a
// random wait and a bounded rate.
//
// It must never hold up what comes in: it stands between the spool and the
// destination, and knows nothing of calls.
package pace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// Config bounds a Source. A zero value of a field bounds nothing.
type Config struct {
	// MaxCPU is the share of one core that shipping may use, over 10 seconds:
	// 0.05 is 5 %.
	MaxCPU float64
	// MaxDelay bounds the random wait after an outage, and at a start with a
	// backlog.
	MaxDelay time.Duration
	// BytesPerSecond bounds how fast a backlog is sent after that wait.
	BytesPerSecond int64
	// Backlog tells how many bytes wait to be sent.
	Backlog func() int64
	// CPU is the processor time that this process has used.
	CPU func() time.Duration
	// Await returns when there is something to send, or with ctx's error. What the
	// process uses until then is not held against shipping. Without it a Source's
	// own waiting is counted as shipping.
	Await func(context.Context) error
}

// Source is a sink.Source that hands on another's batches in time. Recovered may
// be called from any goroutine.
type Source struct {
	next      sink.Source
	cfg       Config
	cpu       budget
	recovered atomic.Bool
	// draining is set while a backlog is sent at a bounded rate; sent is when
	// the last batch may be followed by another.
	draining bool
	sent     time.Time
}

// caughtUp is the backlog that needs no bound: a batch or two.
const caughtUp = 2 << 20

// New returns a Source over next. With a backlog it begins as after an outage.
func New(next sink.Source, cfg Config) *Source {
	s := &Source{next: next, cfg: cfg, cpu: budget{share: cfg.MaxCPU, used: cfg.CPU}}
	s.recovered.Store(s.backlog() > caughtUp)
	return s
}

// Recovered says that an outage has ended.
func (s *Source) Recovered() { s.recovered.Store(true) }

// Next implements sink.Source.
func (s *Source) Next(ctx context.Context) (sink.Batch, error) {
	if err := s.wait(ctx); err != nil {
		return sink.Batch{}, err
	}
	if s.cfg.Await != nil {
		if err := s.cpu.idle(ctx, s.cfg.Await); err != nil {
			return sink.Batch{}, fmt.Errorf("waiting for something to send: %w", err)
		}
	}
	b, err := s.next.Next(ctx)
	if err != nil {
		return b, err
	}
	s.count(b)
	return b, nil
}

// wait waits for whatever is due before the next batch.
func (s *Source) wait(ctx context.Context) error {
	if err := s.cpu.wait(ctx); err != nil {
		return err
	}
	if s.recovered.Swap(false) {
		s.draining = s.cfg.BytesPerSecond > 0
		if s.cfg.MaxDelay > 0 {
			return sleep(ctx, rand.N(s.cfg.MaxDelay)) //nolint:gosec // a fleet does not come back in step
		}
	}
	if s.draining = s.draining && s.backlog() > caughtUp; !s.draining {
		return nil
	}
	return sleep(ctx, time.Until(s.sent))
}

// count notes how long the batch has to take at the bounded rate.
func (s *Source) count(b sink.Batch) {
	if !s.draining {
		return
	}
	size := int64(0)
	for _, r := range b.Records {
		size += int64(len(r.Key) + len(r.Value))
	}
	s.sent = time.Now().Add(time.Duration(float64(size) / float64(s.cfg.BytesPerSecond) * float64(time.Second)))
}

func (s *Source) backlog() int64 {
	if s.cfg.Backlog == nil {
		return 0
	}
	return s.cfg.Backlog()
}

// sleep waits for d, or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the next batch: %w", ctx.Err())
	}
}
