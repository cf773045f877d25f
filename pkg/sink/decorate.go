package sink

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timeout returns a sink whose Write gives next at most d for one batch. What
// next returns is passed on; when it failed because d ran out, the error says
// so. A d of zero or less means no limit.
func Timeout(next Sink, d time.Duration) Sink {
	if d <= 0 {
		return next
	}
	return &timeout{next, d}
}

type timeout struct {
	next  Sink
	limit time.Duration
}

// Write implements Sink.
func (t *timeout) Write(ctx context.Context, batch []Record) error {
	limited, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	err := t.next.Write(limited, batch)
	var partial *BatchError
	if err != nil && ctx.Err() == nil && limited.Err() != nil && !errors.As(err, &partial) {
		return fmt.Errorf("not delivered within %v: %w", t.limit, err)
	}
	return err
}

// Close implements Sink. It has no limit but ctx.
func (t *timeout) Close(ctx context.Context) error { return t.next.Close(ctx) }

// Observation is what one Write came to.
type Observation struct {
	// Records and Bytes (keys and values) are the size of the batch.
	Records, Bytes int
	// Failed is how many of the records were not delivered.
	Failed int
	// Took is how long Write ran.
	Took time.Duration
	// Err is what Write returned.
	Err error
}

// Observe returns a sink that calls see after each Write, in Write's
// goroutine. It changes nothing else.
func Observe(next Sink, see func(Observation)) Sink { return &observer{next, see} }

type observer struct {
	next Sink
	see  func(Observation)
}

// Write implements Sink.
func (o *observer) Write(ctx context.Context, batch []Record) error {
	began := time.Now()
	err := o.next.Write(ctx, batch)
	o.see(Observation{
		Records: len(batch),
		Bytes:   sizeOf(batch),
		Failed:  failedOf(err, len(batch)),
		Took:    time.Since(began),
		Err:     err,
	})
	return err
}

// Close implements Sink.
func (o *observer) Close(ctx context.Context) error { return o.next.Close(ctx) }

func sizeOf(batch []Record) int {
	n := 0
	for _, r := range batch {
		n += len(r.Key) + len(r.Value)
	}
	return n
}

func failedOf(err error, records int) int {
	var partial *BatchError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &partial):
		return len(partial.Failed)
	}
	return records
}
