package stream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// worker holds one partition number: the partitions of that number of all inputs,
// and their state. While it restores it belongs to a goroutine of its own, which
// closes done; from then on to the session's.
type worker struct {
	id      int32
	sources map[string]*source
	store   *state.Store

	cancel   context.CancelFunc // ends the restore; nil before it began
	done     chan struct{}
	err      error // of the restore
	restored bool
	ready    bool      // told by Poll: it has a pipeline
	status   time.Time // when its status was last told
}

// source is one topic's share of a worker: what was fetched of it and is not yet
// committed.
type source struct {
	topic string
	// committed is the offset that the group's next commit moves on from, had
	// whether the group has one, and start where reading began.
	committed int64
	had       bool
	start     int64
	fetched   int64 // no record before it is taken in again
	high      int64 // the high watermark as last seen
	queue     []enrich.Input
	handed    int  // records at the queue's head that are in the transaction under way
	begun     bool // where reading begins is known
	open      bool // it is fetched: the state is there and agrees
	trial     trial
	marked    bool // the group knows that this owner has begun
	gaps      []InputGap
}

// next is the first offset that is not in the transaction under way.
func (src *source) next() int64 {
	if src.handed > 0 {
		return src.queue[src.handed-1].Position.Offset + 1
	}
	return src.committed
}

// take appends a fetched record, unless it was fetched before: the client goes
// back to the last commit whenever a transaction is aborted.
func (src *source) take(in enrich.Input) bool {
	if in.Position.Offset < src.fetched {
		return false
	}
	src.fetched = in.Position.Offset + 1
	src.queue = append(src.queue, in)
	return true
}

// hand moves up to n records of up to size bytes into the transaction, not past
// what the trial allows.
func (src *source) hand(n, size int) (records []enrich.Input, bytes int) {
	if len(src.queue) == 0 {
		return nil, 0
	}
	if first := src.queue[0].Position.Offset; src.trial.active() && first > src.trial.From {
		src.trial = src.trial.passed(first)
	}
	end := src.trial.end(src.queue[0].Position.Offset)
	for src.handed < min(n, len(src.queue)) && (bytes < size || src.handed == 0) {
		in := &src.queue[src.handed]
		if in.Position.Offset >= end {
			break
		}
		bytes += len(in.Key) + len(in.Value)
		src.handed++
	}
	return src.queue[:src.handed], bytes
}

// suspect tells whether the head of the queue is to be tried apart from others.
func (src *source) suspect() bool {
	return len(src.queue) > 0 && src.trial.active() && src.queue[0].Position.Offset >= src.trial.From && src.queue[0].Position.Offset < src.trial.To
}

// settle forgets what the confirmed transaction held.
func (src *source) settle() {
	next := src.next()
	src.trial = src.trial.passed(next)
	clear(src.queue[:src.handed]) // lets the fetched bytes go
	src.queue = src.queue[src.handed:]
	src.committed, src.had, src.handed, src.gaps = next, true, 0, nil
}

// touched tells whether the transaction under way holds anything of the worker.
func (w *worker) touched() bool {
	for _, src := range w.sources {
		if src.handed > 0 || len(src.gaps) > 0 {
			return true
		}
	}
	return w.store.Pending() > 0
}

// merge returns the records of several topics as one, by the time they were
// appended. Those of one topic stay in order.
func merge(parts [][]enrich.Input) []enrich.Input {
	if len(parts) == 1 {
		return parts[0]
	}
	all := slices.Concat(parts...)
	slices.SortStableFunc(all, func(a, b enrich.Input) int {
		if a.Position.Topic == b.Position.Topic {
			return cmp.Compare(a.Position.Offset, b.Position.Offset)
		}
		return a.Appended.Compare(b.Appended)
	})
	return all
}

// lag counts what is not processed, about.
func (w *worker) lag() (n int64) {
	for _, src := range w.sources {
		n += src.lag()
	}
	return n
}

// lag counts the source's; there may be no source.
func (src *source) lag() int64 {
	if src == nil {
		return 0
	}
	return max(src.high-src.committed, int64(len(src.queue)), 0)
}
