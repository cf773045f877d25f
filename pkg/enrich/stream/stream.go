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
	"log/slog"

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
