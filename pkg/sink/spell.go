package sink

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	maxWait   = time.Minute // the largest bound of a wait between attempts
	tellEvery = time.Minute // the shortest time between two words on a failure
)

// spell is a run of failed attempts without a success between them: it knows
// how long to wait and when to speak. One goroutine uses it.
type spell struct {
	log      *slog.Logger
	delays   backoff.BackOff
	began    time.Time // zero while there is no failure
	told     time.Time // when this or an earlier spell was last spoken of
	spoken   bool      // this spell was spoken of
	attempts int
	onOver   func(outage time.Duration)
}

func newSpell(cfg RetryConfig) *spell {
	// The library draws from interval ± factor × interval: with half the
	// bound as the interval and a factor of one that is 0 to the bound.
	delays := &backoff.ExponentialBackOff{
		InitialInterval:     cfg.Initial / 2,
		RandomizationFactor: 1,
		Multiplier:          2,
		MaxInterval:         cfg.Max / 2,
		MaxElapsedTime:      0, // for ever
		Stop:                backoff.Stop,
		Clock:               backoff.SystemClock,
	}
	delays.Reset()
	return &spell{log: cfg.Log, delays: delays, onOver: cfg.OnOver}
}

// wait counts one failure, tells of it where that is due, and sleeps. It
// returns an error only when ctx has ended.
func (s *spell) wait(ctx context.Context, err error, records int) error {
	if s.attempts++; s.began.IsZero() {
		s.began = time.Now()
	}
	s.tell(err, records)
	timer := time.NewTimer(max(s.delays.NextBackOff(), afterOf(err)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return endedError(ctx, err)
	}
}

func (s *spell) tell(err error, records int) {
	now := time.Now()
	if !s.told.IsZero() && now.Sub(s.told) < tellEvery {
		return
	}
	s.told, s.spoken = now, true
	s.log.Warn("delivery is held up and will be tried until it succeeds",
		"records", records, "attempts", s.attempts, "since", s.began, "error", err)
}

// progress makes the next wait short again: some of a batch was delivered.
func (s *spell) progress() { s.delays.Reset() }

// over ends the spell after a success.
func (s *spell) over() {
	if s.began.IsZero() {
		return
	}
	if s.spoken {
		s.log.Info("delivering again", "attempts", s.attempts, "after", time.Since(s.began))
	}
	if s.onOver != nil {
		s.onOver(time.Since(s.began))
	}
	s.delays.Reset()
	s.began, s.spoken, s.attempts = time.Time{}, false, 0
}

// afterOf is the longest wait that err, or an error of one record within it,
// asks for.
func afterOf(err error) time.Duration {
	longest := AfterOf(err)
	var partial *BatchError
	if errors.As(err, &partial) {
		for _, why := range partial.Failed {
			longest = max(longest, AfterOf(why))
		}
	}
	return longest
}
