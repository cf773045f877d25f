package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// RetryConfig says how Retry waits and what it does with records that the
// destination will never take.
type RetryConfig struct {
	// Initial bounds the first wait; each further wait's bound is twice the
	// last, up to Max. The wait itself is drawn evenly between zero and its
	// bound ("full jitter"), so that many agents do not come back in step.
	// Zero means one second.
	Initial time.Duration
	// Max is the largest bound. Zero, or more than a minute, means a minute.
	// Only a destination that asks for a longer wait (RetryAfter) gets one.
	Max time.Duration
	// Log is told of failures, at most once a minute, and when one that was
	// told is over. Nil means silence.
	Log *slog.Logger
	// DeadLetter makes the dead letter of a record which the destination will
	// never take, and what takes its place where it should have stood; that is
	// passed over, and told, when it is refused too. It may be called again for
	// the same record after a restart. Nil holds the line instead: the record
	// is tried for ever.
	DeadLetter func(refused Record, why error) (letter Record, inPlace []Record)
	// OnOver, when set, is called in Write's goroutine with the length of each
	// time of failures, when it has ended.
	OnOver func(outage time.Duration)
	// OnFailure, when set, is called in Write's goroutine with each failure.
	OnFailure func(err error)
}

// Retry returns a sink whose Write comes back with nil only when every record
// is durable, or stands as a dead letter that is; and else only when ctx has
// ended. Then it returns an error that wraps ctx.Err(), and the fate of the
// whole batch is unknown.
//
// It never passes over a record: what failed is sent again in the batch's
// order before anything else is sent, so records of equal topic and key keep
// their order. A refused batch is halved until the record to blame stands
// alone. A dead letter is tried for ever, even when it is refused itself.
func Retry(next Sink, cfg RetryConfig) Sink {
	cfg = cfg.withDefaults()
	return &retrier{next: next, dead: cfg.DeadLetter, log: cfg.Log, spell: newSpell(cfg), onFailure: cfg.OnFailure}
}

func (c RetryConfig) withDefaults() RetryConfig {
	if c.Max <= 0 || c.Max > maxWait {
		c.Max = maxWait
	}
	if c.Initial <= 0 {
		c.Initial = time.Second
	}
	c.Initial = min(c.Initial, c.Max)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// deadLetterer is RetryConfig.DeadLetter; nil where nothing may be buried.
type deadLetterer func(refused Record, why error) (letter Record, inPlace []Record)

type retrier struct {
	next  Sink
	dead  deadLetterer
	log   *slog.Logger
	spell *spell

	onFailure func(error)
}

// Write implements Sink.
func (r *retrier) Write(ctx context.Context, batch []Record) error {
	if len(batch) == 0 {
		return nil
	}
	return r.deliver(ctx, batch, r.dead)
}

// Close implements Sink.
func (r *retrier) Close(ctx context.Context) error { return r.next.Close(ctx) }

// deliver returns nil when all of batch is handled, else because ctx ended.
func (r *retrier) deliver(ctx context.Context, batch []Record, dead deadLetterer) error {
	for len(batch) > 0 {
		err := r.next.Write(ctx, batch)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return endedError(ctx, err)
		}
		if r.onFailure != nil {
			r.onFailure(err)
		}
		if dead != nil && refusedWhole(err) {
			return r.halve(ctx, batch, err, dead)
		}
		if batch, err = r.afterFailure(ctx, batch, err, dead); err != nil {
			return err
		}
	}
	r.spell.over()
	return nil
}

// refusedWhole tells whether err blames the batch rather than named records.
func refusedWhole(err error) bool {
	var partial *BatchError
	return IsPermanent(err) && !errors.As(err, &partial)
}

// halve delivers a refused batch in parts, or its one record as a dead letter.
func (r *retrier) halve(ctx context.Context, batch []Record, why error, dead deadLetterer) error {
	if len(batch) == 1 {
		return r.bury(ctx, batch[0], why, dead)
	}
	half := len(batch) / 2
	if err := r.deliver(ctx, batch[:half], dead); err != nil {
		return err
	}
	return r.deliver(ctx, batch[half:], dead)
}

// afterFailure buries what err says is permanent, waits where nothing moved,
// and returns the records to send again, in order.
func (r *retrier) afterFailure(ctx context.Context, batch []Record, err error, dead deadLetterer) ([]Record, error) {
	left, refused := split(batch, err, dead != nil)
	for _, f := range refused {
		if err := r.bury(ctx, f.record, f.why, dead); err != nil {
			return nil, err
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	if len(left) < len(batch) {
		r.spell.progress()
	}
	if len(refused) > 0 && afterOf(err) == 0 {
		return left, nil // the others were held up by what is now buried
	}
	return left, r.spell.wait(ctx, err, len(left))
}

type failure struct {
	record Record
	why    error
}

// split tells the records that failed for good, when mayBury, from the ones to
// send again. Both keep the batch's order; delivered records are in neither.
func split(batch []Record, err error, mayBury bool) (left []Record, refused []failure) {
	var partial *BatchError
	if !errors.As(err, &partial) {
		return batch, nil
	}
	for i, rec := range batch {
		why, failed := partial.Failed[i]
		switch {
		case !failed:
		case mayBury && IsPermanent(why):
			refused = append(refused, failure{rec, why})
		default:
			left = append(left, rec)
		}
	}
	return left, refused
}

// bury delivers the dead letter of a record. There is no dead letter of a dead
// letter: it is tried until it is taken.
func (r *retrier) bury(ctx context.Context, rec Record, why error, dead deadLetterer) error {
	r.log.Warn("record refused for good", "topic", rec.Topic, "bytes", len(rec.Value), "error", why)
	letter, inPlace := dead(rec, why)
	if letter.Topic != "" {
		if err := r.deliver(ctx, []Record{letter}, nil); err != nil {
			return err
		}
	}
	return r.deliver(ctx, inPlace, passOver)
}

// passOver gives up what should stand in place of a refused record and is refused
// as well: the dead letter has been delivered.
func passOver(Record, error) (letter Record, inPlace []Record) { return Record{}, nil }

// endedError keeps only the words of the last attempt's error: its marks must
// not answer for the batch.
func endedError(ctx context.Context, last error) error {
	return fmt.Errorf("delivery ended: %w (last attempt: %v)", ctx.Err(), last) //nolint:errorlint // see above
}
