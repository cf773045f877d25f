package pace_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/pace"
	"github.com/stackjoin/stackjoin/pkg/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source hands out batches of size bytes, for ever; making one uses cpu.
type source struct {
	size   int
	cpu    time.Duration
	used   *time.Duration
	before func()
}

func (s *source) Next(context.Context) (sink.Batch, error) {
	if s.before != nil {
		s.before()
	}
	if s.used != nil {
		*s.used += s.cpu
	}
	return sink.Batch{Records: []sink.Record{{Value: make([]byte, s.size)}}, Ack: func(error) error { return nil }}, nil
}

// batches takes batches for d and returns how many came.
func batches(t *testing.T, s sink.Source, d time.Duration) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for {
		if _, err := s.Next(ctx); err != nil {
			return n
		}
		n++
	}
}

// Shipping keeps to its share of a core, over any ten seconds after the first.
func TestCPUStaysWithinItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := time.Duration(0)
		in := &source{cpu: 20 * time.Millisecond, used: &used}
		s := pace.New(in, pace.Config{MaxCPU: 0.05, CPU: func() time.Duration { return used }})
		for i := range 6 {
			before := used
			batches(t, s, 10*time.Second)
			share := (used - before).Seconds() / 10
			if i > 0 && (share > 0.055 || share < 0.04) {
				t.Errorf("ten seconds %d: %.3f of a core, want 0.05", i, share)
			}
		}
	})
}

// A process that is busy taking calls goes on shipping: what calls use is not
// held against it.
func TestCallsInPlentyDoNotStopTheirShipping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, own := time.Now(), time.Duration(0)
		in := &source{cpu: 20 * time.Millisecond, used: &own}
		s := pace.New(in, pace.Config{MaxCPU: 0.05, CPU: func() time.Duration {
			return own + time.Since(began)*3/10 // calls use 30 % of a core
		}})
		batches(t, s, time.Minute)
		before := own
		batches(t, s, time.Minute)
		if share := (own - before).Seconds() / 60; share < 0.03 || share > 0.06 {
			t.Errorf("shipping has %.3f of a core beside busy calls, want about 0.05", share)
		}
	})
}

// A call of half a gigabyte costs seconds to take. What waits behind it goes at once.
func TestAGiantCallDoesNotHoldUpWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := time.Duration(0)
		s := pace.New(&source{cpu: time.Millisecond, used: &used}, pace.Config{
			MaxCPU: 0.05, CPU: func() time.Duration { return used },
			Await: func(ctx context.Context) error {
				time.Sleep(4 * time.Second)
				used += 3 * time.Second
				return ctx.Err()
			},
		})
		if n := batches(t, s, time.Minute); n < 14 {
			t.Errorf("%d batches in a minute, want one every four seconds", n)
		}
	})
}

// Waiting for something to send saves no more than a window's budget.
func TestAQuietHourAllowsNoBusyMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used, quiet := time.Duration(0), time.Hour
		s := pace.New(&source{cpu: 20 * time.Millisecond, used: &used}, pace.Config{
			MaxCPU: 0.05, CPU: func() time.Duration { return used },
			Await: func(ctx context.Context) error {
				time.Sleep(quiet)
				quiet = 0
				return ctx.Err()
			},
		})
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := used
		batches(t, s, time.Minute)
		if share := (used - before).Seconds() / 60; share > 0.06 || share < 0.04 {
			t.Errorf("%.3f of a core in the minute after a quiet hour, want 0.05 and what ten seconds allow", share)
		}
	})
}

func TestWithoutABoundNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := pace.New(&source{before: func() { n++ }}, pace.Config{CPU: func() time.Duration { return time.Hour }})
		began := time.Now()
		for range 1000 {
			if _, err := s.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n != 1000 || time.Since(began) != 0 {
			t.Errorf("%d batches took %v", n, time.Since(began))
		}
	})
}

// After an outage a sender waits for a while that differs from its neighbours',
// and then drains at its rate until the backlog is gone.
func TestAfterAnOutageABacklogIsDrainedLateAndSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate = 1 << 20, 4 << 20
		waits := map[time.Duration]bool{}
		for range 20 {
			backlog := int64(0)
			in := &source{size: size, before: func() { backlog -= size }}
			s := pace.New(in, pace.Config{MaxDelay: 30 * time.Second, BytesPerSecond: rate, Backlog: func() int64 { return backlog }})
			began := time.Now()
			if _, err := s.Next(t.Context()); err != nil || time.Since(began) != 0 {
				t.Fatalf("a start without a backlog waits %v (%v)", time.Since(began), err)
			}
			backlog = 100 * size
			s.Recovered()
			if _, err := s.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			waited := time.Since(began)
			if waited > 30*time.Second {
				t.Fatalf("waited %v", waited)
			}
			waits[waited] = true
			began = time.Now()
			for backlog > 2<<20 {
				if _, err := s.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(began).Seconds(); took < 97*size/rate*0.95 || took > 97*size/rate*1.05 {
				t.Errorf("97 MiB at 4 MiB/s took %.1f s", took)
			}
			began = time.Now()
			if _, err := s.Next(t.Context()); err != nil || time.Since(began) != 0 {
				t.Errorf("with the backlog gone a batch waits %v", time.Since(began))
			}
		}
		if len(waits) < 15 {
			t.Errorf("%d different waits of 20", len(waits))
		}
	})
}

func TestAStartWithABacklogWaitsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longest := time.Duration(0)
		for range 20 {
			s := pace.New(&source{}, pace.Config{MaxDelay: 30 * time.Second, Backlog: func() int64 { return 1 << 30 }})
			began := time.Now()
			if _, err := s.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(began))
		}
		if longest < 5*time.Second {
			t.Errorf("of 20 starts with a backlog the longest wait was %v", longest)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pace.New(&source{}, pace.Config{MaxDelay: 1000 * time.Hour, Backlog: func() int64 { return 1 << 30 }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); err == nil {
			t.Error("a batch came after the end of the context")
		}
	})
}

func TestProcessCPUGrows(t *testing.T) {
	before := pace.ProcessCPU()
	for deadline := time.Now().Add(time.Minute); pace.ProcessCPU() <= before; {
		if time.Now().After(deadline) {
			t.Fatal("a minute of work used no CPU")
		}
	}
}
