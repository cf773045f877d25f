package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How much the state is whose owner is killed, and how soon what came meanwhile is to be
// told.
const (
	recoverBytes = 10_000_000_000
	recoverHosts = 5000
	recoverWarm  = 10 * time.Minute // for all of it to be read back, at first
	recoverFor   = 3 * time.Minute
	recoveredLag = 10 * time.Second
	barRecovered = 120.0 // seconds
)

// recovery measures how long the partitions of an enricher that is killed are behind, where
// three share ten gigabytes of state, none of which those who take over have. It takes ten
// minutes, ten gigabytes of memory for the broker and as many of disk.
func (b *bench) recovery(ctx context.Context) (err error) {
	if !b.long {
		return nil
	}
	s, stopStream, err := b.stream(ctx)
	if err != nil {
		return err
	}
	defer stopStream()
	f := &freshBench{streamBench: s, seen: newSightings()}
	if err := f.createTopics(ctx); err != nil {
		return err
	}
	if err := f.fill(ctx); err != nil {
		return err
	}
	if err := f.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if err := f.produce(ctx, enricherWarm); err != nil {
		return err
	}
	warm, cancel := context.WithTimeout(ctx, recoverWarm)
	defer cancel()
	if err := f.committed(warm, "bench"); err != nil {
		return err
	}
	var killed time.Time
	_, err = f.phase(ctx, recoverFor, func() error {
		if err := sleep(ctx, 10*time.Second); err != nil {
			return err
		}
		killed = time.Now()
		_ = f.running[0].Process.Signal(syscall.SIGKILL)
		_ = f.running[0].Wait() // it was killed
		return nil
	})
	if err != nil {
		return err
	}
	longest := f.seen.behindAfter(killed)
	f.table.atMost(fmt.Sprintf("one of 3 killed, %d GB of state: back under %v", recoverBytes/1_000_000_000, recoveredLag), fmt.Sprintf("%.0f s, at %d rows/s; silent for %.0f s", longest, freshRate, f.seen.silences()[0]), longest, barRecovered)
	f.running = f.running[1:]
	return nil
}

// fill writes state of hosts that send nothing any more.
func (f *freshBench) fill(ctx context.Context) error {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // data to measure with
	n, written := 0, 0
	return writeInTransactions(ctx, f.addr, 20_000, func() *kgo.Record {
		if written >= recoverBytes {
			return nil
		}
		host := n % recoverHosts
		record := stateRecord(r, stateTopic, fmt.Sprintf("1f9a6c1e-7d2b-4c1f-9a55-2f4f6f%06d", host), uint64(n/recoverHosts*7919)) //nolint:gosec // not negative
		record.Partition = int32(host % enricherPartitions)                                                                        //nolint:gosec // small
		n, written = n+1, written+len(record.Key)+len(record.Value)
		return record
	})
}

// behindAfter is how many seconds after that a row came last that had waited for too long;
// all of what was written, when rows that are written do not come.
func (s *sightings) behindAfter(begun time.Time) (longest float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.behind {
		longest = max(longest, at.Sub(begun).Seconds())
	}
	for _, at := range s.written {
		if time.Since(at) >= recoveredLag {
			longest = max(longest, time.Since(begun).Seconds())
		}
	}
	return longest
}
