// Package stream brings records to the pipelines and their output out again:
// one loop over a source that hands out batches and says which partitions came
// and went, with one pipeline for each partition held.
//
// It must never look inside a record. What a partition means is the pipeline's
// affair; what "once" means is the source's.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Partition is one ordered share of an input.
type Partition struct {
	Topic string
	ID    int32
}

// Batch is records of one partition, in order.
type Batch struct {
	Partition Partition
	Records   []enrich.Input
}

// Polled is what a source has to say at one moment. Revoked partitions are to
// be forgotten first, then those assigned begun, then the batches processed.
type Polled struct {
	Revoked  []Partition
	Assigned []Partition
	Batches  []Batch
}

// Source hands out input. Poll blocks until there is something to say, ctx
// ends, or the input is finished (io.EOF). What it returns is valid until the
// next Poll.
type Source interface {
	Poll(ctx context.Context) (Polled, error)
}

// Committer takes the output of what was polled last. Commit returns nil when
// that output and the positions behind it are durable together: in one
// transaction (Kafka), one after the other with stable ids (at least once), or
// as written lines (files). ErrAborted says that neither is, and that the same
// records will be polled again.
type Committer interface {
	Commit(ctx context.Context, outputs []enrich.Output) error
}

// ErrAborted is returned by Commit when nothing was made durable and the next
// Poll begins again where the last commit ended.
var ErrAborted = errors.New("transaction aborted")

// Session is a source with its committer: one member of a consumer group, or
// the files of a scan. It is used by one goroutine.
type Session interface {
	Source
	Committer
}

// Job is what is done with what a session hands out.
type Job struct {
	// Build makes the pipeline for a partition that was assigned.
	Build func(Partition) (*enrich.Pipeline, error)
	// Observe, when set, is told the counts of each commit, after it. It is
	// called from every session's goroutine.
	Observe func(enrich.Stats)
	Log     *slog.Logger
}

// grace is how long a transaction under way may take to end after a stop was
// asked for.
const grace = 10 * time.Second

// runner holds the pipelines of one session.
type runner struct {
	session   Session
	job       Job
	pipelines map[Partition]*enrich.Pipeline
	out       enrich.Out
}

// Run takes everything session hands out through the job's pipelines, until
// ctx ends or the input does; both are a nil error. What was polled before ctx
// ended is either committed whole or not at all.
func Run(ctx context.Context, session Session, job Job) error {
	r := &runner{session: session, job: job, pipelines: map[Partition]*enrich.Pipeline{}}
	for {
		polled, err := session.Poll(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return nil //nolint:nilerr // a stop was asked for
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		}
		if err := r.step(ctx, polled); err != nil {
			return err
		}
	}
}

// step processes and commits one poll. Its context outlives ctx by the grace,
// so that a stop does not cut a transaction in half.
func (r *runner) step(ctx context.Context, polled Polled) error {
	if err := r.assign(polled); err != nil {
		return err
	}
	if len(polled.Batches) == 0 {
		return nil
	}
	work, cancel := graceful(ctx)
	defer cancel()
	r.out.Reset()
	for _, batch := range polled.Batches {
		if err := r.process(work, batch); err != nil {
			return err
		}
	}
	err := r.session.Commit(work, r.out.Outputs)
	if errors.Is(err, ErrAborted) {
		r.job.Log.Warn("transaction aborted, its records will be read again", "records", len(r.out.Outputs), "reason", err)
		r.count(nil)
		return nil
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r.count(r.job.Observe)
	return nil
}

// count takes what the pipelines counted since the last time; what was aborted
// will be counted when it comes again.
func (r *runner) count(observe func(enrich.Stats)) {
	for _, p := range r.pipelines {
		stats := p.TakeStats()
		if observe != nil && stats.Records > 0 {
			observe(stats)
		}
	}
}

func (r *runner) assign(polled Polled) error {
	for _, p := range polled.Revoked {
		delete(r.pipelines, p)
	}
	for _, p := range polled.Assigned {
		pipeline, err := r.job.Build(p)
		if err != nil {
			return fmt.Errorf("partition %s/%d: %w", p.Topic, p.ID, err)
		}
		r.pipelines[p] = pipeline
	}
	return nil
}

func (r *runner) process(ctx context.Context, batch Batch) error {
	pipeline := r.pipelines[batch.Partition]
	if pipeline == nil {
		return fmt.Errorf("partition %s/%d: records of a partition that was not assigned", batch.Partition.Topic, batch.Partition.ID)
	}
	for _, in := range batch.Records {
		if err := pipeline.Process(ctx, in, &r.out); err != nil {
			return fmt.Errorf("partition %s/%d: %w", batch.Partition.Topic, batch.Partition.ID, err)
		}
	}
	if err := pipeline.Seal(); err != nil {
		return fmt.Errorf("partition %s/%d: %w", batch.Partition.Topic, batch.Partition.ID, err)
	}
	return nil
}

// graceful returns a context that ends a little after ctx does.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	return work, func() { stop(); cancel() }
}
