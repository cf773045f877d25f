package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// What look-ups notice of 5 million indicators that are read anew.
const (
	swapEntries = 5_000_000
	swapRounds  = 3
	barSwapMs   = 5
)

// batches are the milliseconds of each batch of look-ups, and of those alone that
// the kernel let run: on a busy machine it gives the processor to others.
type batches struct{ all, undisturbed []float64 }

// p999 returns both percentiles.
func (b batches) p999() (all, undisturbed float64) {
	at := func(values []float64) float64 {
		slices.Sort(values)
		return values[len(values)*999/1000]
	}
	return at(b.all), at(b.undisturbed)
}

// indexSwap looks up without a pause while 5 million indicators are read and put
// in use, and as long without that.
func (b *bench) indexSwap(ctx context.Context) error {
	f, err := b.bigFeed("swap", swapEntries, 1, writeBoth)
	if err != nil {
		return err
	}
	x, err := b.loadFeed(ctx, f, nil)
	if err != nil {
		return err
	}
	store := reputation.NewStore(x)
	var with, without, withOwn, withoutOwn []float64
	for round := range uint64(swapRounds) {
		if f, err = b.bigFeed("swap", swapEntries, round+2, writeBoth); err != nil {
			return err
		}
		swap, quiet, err := b.swapRound(ctx, store, f)
		if err != nil {
			return err
		}
		all, own := swap.p999()
		with, withOwn = append(with, all), append(withOwn, own)
		all, own = quiet.p999()
		without, withoutOwn = append(without, all), append(withoutOwn, own)
	}
	over := median(with) - median(without)
	b.table.atMost("index: p99.9 of a batch in a swap of 5 M", fmt.Sprintf("%+.2f ms: %.2f ms against %.2f ms, %d look-ups a batch",
		over, median(with), median(without), batchLookups), over, barSwapMs)
	b.table.note("index: the same, where the kernel did not cut", fmt.Sprintf("%+.2f ms: %.2f ms against %.2f ms",
		median(withOwn)-median(withoutOwn), median(withOwn), median(withoutOwn)))
	if err := os.Remove(f.Path); err != nil {
		return fmt.Errorf("the feed that was loaded: %w", err)
	}
	return nil
}

// swapRound times batches while f is loaded and put in use, then as long without.
func (b *bench) swapRound(ctx context.Context, store *reputation.Store, f reputation.Feed) (swap, quiet batches, err error) {
	runtime.GC() // what came before is neither's
	started := time.Now()
	swap, err = timedBatches(store, func() error {
		x, err := b.loadFeed(ctx, f, store.Current())
		if err == nil {
			store.Swap(x)
		}
		return err
	})
	if err != nil {
		return swap, quiet, err
	}
	took := time.Since(started)
	runtime.GC()
	quiet, err = timedBatches(store, func() error { return sleep(ctx, took) })
	return swap, quiet, err
}

// timedBatches looks up batch after batch until work is done.
func timedBatches(store *reputation.Store, work func() error) (batches, error) {
	var done atomic.Bool
	times := make(chan batches, 1)
	go func() {
		runtime.LockOSThread() // so that the thread's switches are the look-ups'
		defer runtime.UnlockOSThread()
		q, b, cuts := newQuestions(9, 100), batches{}, involuntarySwitches()
		for !done.Load() {
			started := time.Now()
			q.batch(store.Current())
			took := float64(time.Since(started).Microseconds()) / 1e3
			b.all = append(b.all, took)
			now := involuntarySwitches()
			if now == cuts {
				b.undisturbed = append(b.undisturbed, took)
			}
			cuts = now
		}
		times <- b
	}()
	err := work()
	done.Store(true)
	return <-times, err
}

// involuntarySwitches is how often the kernel took the processor from this thread.
func involuntarySwitches() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_THREAD, &r) // cannot fail with this argument
	return r.Nivcsw
}
