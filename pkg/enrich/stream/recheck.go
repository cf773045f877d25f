package stream

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Bounds of what is read again between two transactions, so that what comes now does
// not wait for what has passed.
const (
	recheckRecords = 500 // of one part
	recheckTime    = 100 * time.Millisecond
	recheckIdle    = 250 * time.Millisecond // when nothing came
)

// recheck reads a range again, in a goroutine of its own, which stop waits for. What
// it reads is handed over in parts; closed parts tell that it ended.
type recheck struct {
	in     enrich.Range
	parts  chan []enrich.Input
	cancel context.CancelFunc
	err    error // once parts is closed
}

func (r *runner) startRecheck(p Partition, in enrich.Range) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &recheck{in: in, parts: make(chan []enrich.Input, 1), cancel: cancel}
	r.rechecks[p] = c
	go func() {
		defer close(c.parts)
		c.err = c.read(ctx, r.session, p)
	}()
}

func (c *recheck) read(ctx context.Context, session Keeper, p Partition) error {
	var part []enrich.Input
	hand := func() error {
		select {
		case c.parts <- part:
			part = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := session.Again(ctx, p, c.in, func(in enrich.Input) error {
		if part = append(part, in); len(part) < recheckRecords {
			return nil
		}
		return hand()
	})
	if err == nil && len(part) > 0 {
		err = hand()
	}
	return err
}

// stopRecheck ends what is read again for a partition, and waits for it.
func (r *runner) stopRecheck(p Partition) {
	c := r.rechecks[p]
	if c == nil {
		return
	}
	delete(r.rechecks, p)
	c.cancel()
	for range c.parts { // until it is closed
	}
}

func (r *runner) stopRechecks() {
	for p := range r.rechecks {
		r.stopRecheck(p)
	}
}

// recheck takes what was read again through the pipelines, for a bounded time, and
// with ask begins with a range that is due: one at a time, since each has a client with
// its buffers.
func (r *runner) recheck(ctx context.Context, ask bool, most time.Duration) error {
	until := time.Now().Add(most)
	for id, pipeline := range r.pipelines {
		for due := ask && len(r.rechecks) == 0; due || r.rechecks[id] != nil; due = time.Now().Before(until) {
			if r.rechecks[id] == nil {
				in, ok, err := pipeline.Due()
				if err != nil {
					return err
				}
				if !ok {
					break
				}
				r.startRecheck(id, in)
			}
			c := r.rechecks[id]
			if err := r.recheckParts(ctx, id, pipeline, c, until); err != nil {
				return err
			}
			if r.rechecks[id] != nil || c.err != nil { // the time is up, or it is tried again later
				break
			}
		}
	}
	return nil
}

// recheckParts takes the parts that are there. A range that could not be read is due
// again.
func (r *runner) recheckParts(ctx context.Context, id Partition, pipeline *enrich.Pipeline, c *recheck, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case part, more := <-c.parts:
			if !more {
				return r.endRecheck(id, pipeline, c)
			}
			if err := r.recheckPart(ctx, id, pipeline, c, part); err != nil {
				return err
			}
		case <-timer.C:
			return nil
		}
	}
}

func (r *runner) recheckPart(ctx context.Context, id Partition, pipeline *enrich.Pipeline, c *recheck, part []enrich.Input) error {
	for i := range part {
		r.session.Reading(id, part[i].Key)
		if err := r.recheckOne(ctx, pipeline, &part[i]); err != nil {
			return err
		}
	}
	if next := part[len(part)-1].Position.Offset + 1; next < c.in.To {
		return pipeline.Rechecked(next)
	}
	return nil
}

// recheckOne steps over a record that makes the joins panic: it was given up when it
// first came.
func (r *runner) recheckOne(ctx context.Context, pipeline *enrich.Pipeline, in *enrich.Input) error {
	defer func() {
		if p := recover(); p != nil {
			r.job.Log.Error("a record that was read again made the joins panic", "position", in.Position.String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return pipeline.Recheck(ctx, *in, &r.out)
}

func (r *runner) endRecheck(id Partition, pipeline *enrich.Pipeline, c *recheck) error {
	r.stopRecheck(id)
	if c.err == nil {
		return pipeline.Rechecked(c.in.To)
	}
	if !errors.Is(c.err, context.Canceled) {
		r.job.Log.Warn("what has passed could not be read again, it will be tried again", "topic", c.in.Topic, "partition", id.ID, "from", c.in.From, "error", c.err)
	}
	return nil
}
