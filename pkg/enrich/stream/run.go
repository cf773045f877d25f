package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// grace is how long a transaction under way may take to end after a stop was
// asked for.
const grace = 10 * time.Second

// runner holds the pipelines of one session.
type runner struct {
	session   Session
	job       Job
	pipelines map[Partition]*enrich.Pipeline
	out       enrich.Out
	idled     time.Time // when pipelines were last told that time passes
	told      time.Time // when their status was last told
	rechecks  map[Partition]*recheck
}

// Run takes everything session hands out through the job's pipelines, until
// ctx ends or the input does; both are a nil error. What was polled before ctx
// ended is either committed whole or not at all.
func Run(ctx context.Context, session Session, job Job) error {
	r := &runner{session: session, job: job, pipelines: map[Partition]*enrich.Pipeline{}, rechecks: map[Partition]*recheck{}}
	defer r.stopRechecks()
	for {
		polled, err := session.Poll(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return r.finish(ctx)
		case err != nil && ctx.Err() != nil:
			return nil
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
	if err := r.assign(ctx, polled); err != nil {
		return err
	}
	idle := time.Since(r.idled) >= time.Second
	if len(polled.Batches) == 0 && len(polled.Gaps) == 0 && !idle && len(r.rechecks) == 0 {
		return nil
	}
	work, cancel := graceful(ctx)
	defer cancel()
	r.out.Reset()
	err := r.fill(work, polled)
	if err == nil && idle {
		r.idled = time.Now()
		err = r.each(func(p *enrich.Pipeline) error { return p.OnIdle(work, &r.out) })
	}
	if err == nil {
		most := recheckTime
		if len(polled.Batches) == 0 {
			most = recheckIdle
		}
		err = r.recheck(work, idle, most)
	}
	if err == nil && len(polled.Batches) == 0 && len(r.out.Outputs) == 0 {
		return nil
	}
	return r.commit(work, err)
}

// finish tells what the pipelines still hold at the end of the input.
func (r *runner) finish(ctx context.Context) error {
	r.out.Reset()
	err := r.each(func(p *enrich.Pipeline) error { return p.Finish(ctx, &r.out) })
	return r.commit(ctx, err)
}

func (r *runner) each(do func(*enrich.Pipeline) error) error {
	for id, p := range r.pipelines {
		if err := do(p); err != nil {
			return fmt.Errorf("partition %s/%d: %w", id.Topic, id.ID, err)
		}
	}
	return nil
}

// commit makes what was processed durable, or gives it back where that failed.
func (r *runner) commit(ctx context.Context, err error) error {
	if err == nil {
		err = r.each((*enrich.Pipeline).Seal)
	}
	if err == nil {
		err = r.session.Commit(ctx, r.out.Outputs)
	} else {
		err = r.session.Abort(ctx, err)
	}
	if errors.Is(err, ErrAborted) {
		r.job.Log.Warn("transaction aborted, its records will be tried again", "records", len(r.out.Outputs), "reason", err)
		r.count(nil)
		return r.rebuild(ctx)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r.count(r.job.Observe)
	r.tell()
	return nil
}

// tell tells how the pipelines fare, when it is time.
func (r *runner) tell() {
	if r.job.Status == nil || time.Since(r.told) < statusEvery {
		return
	}
	r.told = time.Now()
	for id, p := range r.pipelines {
		r.job.Status(id, p.TakeStatus())
	}
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

func (r *runner) assign(ctx context.Context, polled Polled) error {
	for _, p := range polled.Revoked {
		delete(r.pipelines, p)
		r.stopRecheck(p)
	}
	for _, p := range polled.Assigned {
		if err := r.build(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) build(ctx context.Context, p Partition) error {
	r.stopRecheck(p)
	pipeline, err := r.job.Build(p, r.session.State(p))
	if err != nil {
		return fmt.Errorf("partition %s/%d: %w", p.Topic, p.ID, err)
	}
	err = pipeline.Resume(ctx, func(ctx context.Context, topic string, from int64, visit func(enrich.Input) error) error {
		return r.session.Reread(ctx, p, topic, from, visit)
	})
	if err != nil {
		return fmt.Errorf("partition %s/%d: %w", p.Topic, p.ID, err)
	}
	r.pipelines[p] = pipeline
	return nil
}

// rebuild replaces every pipeline: what its operators hold was never committed.
func (r *runner) rebuild(ctx context.Context) error {
	for p := range r.pipelines {
		if err := r.build(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// fill takes what was polled through the pipelines.
func (r *runner) fill(ctx context.Context, polled Polled) error {
	if r.job.InputGap != nil {
		for _, gap := range polled.Gaps {
			for _, o := range r.job.InputGap(gap.Partition, gap.From, gap.To) {
				r.out.Add(o)
			}
		}
	}
	for i := range polled.Batches {
		if err := r.process(ctx, &polled.Batches[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) process(ctx context.Context, batch *Batch) error {
	pipeline := r.pipelines[batch.Partition]
	if pipeline == nil {
		return fmt.Errorf("partition %s/%d: records of a partition that was not assigned", batch.Partition.Topic, batch.Partition.ID)
	}
	if batch.Poison != "" {
		r.out.Add(enrich.Poison(batch.Records[0], batch.Poison))
		return nil
	}
	for i := range batch.Records {
		r.session.Reading(batch.Partition, batch.Records[i].Key)
		if err := r.one(ctx, pipeline, &batch.Records[i]); err != nil {
			return &RecordError{batch.Partition, batch.Records[i].Position, err}
		}
	}
	if err := pipeline.Seal(); err != nil {
		return fmt.Errorf("partition %s/%d: %w", batch.Partition.Topic, batch.Partition.ID, err)
	}
	return nil
}

// one processes a record. A record that makes the joins panic must not end the
// process, which would come back and meet it again.
func (r *runner) one(ctx context.Context, pipeline *enrich.Pipeline, in *enrich.Input) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			r.job.Log.Error("a record made the joins panic", "position", in.Position.String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return pipeline.Process(ctx, *in, &r.out)
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
