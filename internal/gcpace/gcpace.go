// Package gcpace lets a small heap grow before it is collected. Go collects one when it
// has doubled, so that a program with 20 MiB of its own and 100 MiB of garbage a second
// does so five times a second, at a seventh of its CPU.
//
// It must never let a large heap grow by more than Go itself would, and never change what
// somebody has set.
package gcpace

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// every is how often the heap is looked at: what is live changes slowly.
const every = 2 * time.Second

// usual is Go's own percentage.
const usual = 100

// Run has the heap grow by at least room bytes between two collections, until ctx ends.
// It does nothing where GOGC is set in the environment.
func Run(ctx context.Context, room uint64) error {
	if _, set := os.LookupEnv("GOGC"); set {
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(usual))
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		metrics.Read(live)
		debug.SetGCPercent(percent(live[0].Value.Uint64(), room))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// percent is by how much a heap of so many live bytes may grow. Go takes no heap for
// smaller than 4 MiB at 100 percent.
func percent(live, room uint64) int {
	const least = 1 << 20
	return int(max(usual, 100*room/max(live, least)))
}
