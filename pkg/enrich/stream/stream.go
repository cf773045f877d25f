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
	"runtime/debug"
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
	// Poison says that the one record of the batch failed again and again, alone:
	// it is to be dead-lettered, for this reason, and not processed.
	Poison string
}

// InputGap is a place where the records read do not go on where the state ends:
// the topic's records from From up to To were never read. To is smaller than From
// when the group's offsets were set back, and those between come again.
type InputGap struct {
	Partition Partition
	From, To  int64
}

// Polled is what a source has to say at one moment. Revoked partitions are to
// be forgotten first, then those assigned begun, then the gaps told and the
// batches processed.
type Polled struct {
	Revoked  []Partition
	Assigned []Partition
	Gaps     []InputGap
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
//
// After ErrAborted nothing that was said to a State since the last commit holds,
// and everything built over one has to be built again.
type Committer interface {
	Commit(ctx context.Context, outputs []enrich.Output) error
	// Abort is called in place of Commit when what was polled could not be
	// processed. Its error is ErrAborted when it is worth another try.
	Abort(ctx context.Context, cause error) error
}

// ErrAborted is returned by Commit when nothing was made durable and the next
// Poll begins again where the last commit ended.
var ErrAborted = errors.New("transaction aborted")

// Keeper holds the state of the partitions assigned.
type Keeper interface {
	// State returns the states of a partition, by operator, as of the last commit.
	State(p Partition) func(operator string) enrich.State
	// Reading tells the key of the record that is processed next.
	Reading(p Partition, key []byte)
	// Reread shows the records of a partition's topic again, from an offset up to
	// where the partition's state was committed. It is for a pipeline that was just
	// built.
	Reread(ctx context.Context, p Partition, topic string, from int64, visit func(enrich.Input) error) error
	// Again shows the records of a range of one of a partition's topics that were
	// processed. It may be called by any goroutine while the partition is held.
	Again(ctx context.Context, p Partition, r enrich.Range, visit func(enrich.Input) error) error
}

// Session is a source with its committer and its state: one member of a consumer
// group, or the files of a scan. It is used by one goroutine.
type Session interface {
	Source
	Committer
	Keeper
}

// RecordError is a record that could not be processed.
type RecordError struct {
	Partition Partition
	Position  enrich.Position
	Err       error
}

// Error names the record and the cause.
func (e *RecordError) Error() string { return e.Position.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// Job is what is done with what a session hands out.
type Job struct {
	// Build makes the pipeline for a partition that was assigned, and again after
	// each abort, over the partition's state.
	Build func(p Partition, state func(operator string) enrich.State) (*enrich.Pipeline, error)
	// InputGap, when set, makes the records that tell of a gap in a topic.
	InputGap func(p Partition, from, to int64) []enrich.Output
	// Observe, when set, is told the counts of each commit, after it. It is
	// called from every session's goroutine.
	Observe func(enrich.Stats)
	// Status, when set, is told every few seconds, after a commit, how a partition
	// fares. It is called from every session's goroutine.
	Status func(Partition, enrich.Status)
	Log    *slog.Logger
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
