package sinktest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// Outcome is what a Fake does with one Write.
type Outcome struct {
	// Err is what Write returns. With nil all records land; with a
	// *sink.BatchError all but the named ones do; with any other error none.
	Err error
	// Landed makes the records land although Err, which is not a
	// *sink.BatchError, says nothing of it: the answer was lost on the way.
	Landed bool
}

// Fake is a sink in memory whose failures are scripted. Its zero value takes
// everything. It is safe for concurrent use, so that misuse can be seen rather
// than crash; set Answer before the first Write.
type Fake struct {
	// Answer decides the fate of each Write; nil lets all records land. call
	// counts from zero. Its ctx is Write's.
	Answer func(ctx context.Context, call int, batch []sink.Record) Outcome

	mu         sync.Mutex
	writes     [][]sink.Record
	landed     []sink.Record
	writing    bool
	overlapped bool
	closes     int
}

// Script returns an Answer that gives the outcomes in turn, and then success.
func Script(outcomes ...Outcome) func(context.Context, int, []sink.Record) Outcome {
	return func(_ context.Context, call int, _ []sink.Record) Outcome {
		if call < len(outcomes) {
			return outcomes[call]
		}
		return Outcome{}
	}
}

// Write implements sink.Sink.
func (f *Fake) Write(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	call := f.enter(batch)
	defer f.leave()
	var out Outcome
	if f.Answer != nil {
		out = f.Answer(ctx, call, batch)
	}
	f.land(batch, out)
	return out.Err
}

func (f *Fake) enter(batch []sink.Record) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.overlapped = f.overlapped || f.writing
	f.writing = true
	f.writes = append(f.writes, cloneAll(batch))
	return len(f.writes) - 1
}

func (f *Fake) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writing = false
}

func (f *Fake) land(batch []sink.Record, out Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var partial *sink.BatchError
	isPartial := errors.As(out.Err, &partial)
	for i, r := range batch {
		if isPartial {
			if _, failed := partial.Failed[i]; failed {
				continue
			}
		} else if out.Err != nil && !out.Landed {
			continue
		}
		f.landed = append(f.landed, clone(r))
	}
}

// Close implements sink.Sink.
func (f *Fake) Close(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes++
	return nil
}

// Landed returns copies of the records that landed, in order.
func (f *Fake) Landed() []sink.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.landed)
}

// Writes returns copies of the batches that Write was given, in order.
func (f *Fake) Writes() [][]sink.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.writes)
}

// Overlapped tells whether two Writes ever ran at once, which the contract of
// sink.Sink forbids its caller.
func (f *Fake) Overlapped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.overlapped
}

// Closes returns how often Close was called.
func (f *Fake) Closes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closes
}

func cloneAll(batch []sink.Record) []sink.Record {
	out := make([]sink.Record, len(batch))
	for i, r := range batch {
		out[i] = clone(r)
	}
	return out
}

func clone(r sink.Record) sink.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}
