package stream

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"
)

// RunKafka runs n sessions of the group until ctx ends. A session that fails is
// closed, which aborts its transaction, and another takes its place after a
// pause: a broker that is away for hours stops nothing for good.
func RunKafka(ctx context.Context, cfg KafkaConfig, n int, job Job) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error { return supervise(ctx, cfg, job, i) })
	}
	return group.Wait()
}

func supervise(ctx context.Context, cfg KafkaConfig, job Job, i int) error {
	log := cfg.Log.With("session", i)
	cfg.Log, job.Log = log, log
	cfg.limits = newLimits()
	pause := backoff.NewExponentialBackOff(backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		started := time.Now()
		err := runOnce(ctx, cfg, job)
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // a stop was asked for
		}
		var fatal *FatalError
		if errors.As(err, &fatal) {
			return err
		}
		if time.Since(started) > time.Minute {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		log.Error("session failed, a new one takes its place", "in", wait.Round(time.Millisecond), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

func runOnce(ctx context.Context, cfg KafkaConfig, job Job) error {
	session, err := OpenKafka(cfg)
	if err != nil {
		return &FatalError{err}
	}
	defer session.Close()
	return Run(ctx, session, job)
}

// FatalError is a failure that no new session would mend: an impossible
// configuration.
type FatalError struct{ Err error }

// Error returns the cause's words.
func (e *FatalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FatalError) Unwrap() error { return e.Err }
