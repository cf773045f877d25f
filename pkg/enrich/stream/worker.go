package stream

import (
	"context"
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
	unmerged int64     // records that did not wait for another source any longer
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
	fetched   int64         // no record before it is taken in again; markers of transactions count
	high      int64         // the high watermark as last seen
	end       int64         // where it ended when that was last asked
	behind    time.Time     // since when it has brought nothing of what comes before end; zero when all is here
	latest    time.Time     // when the last record taken in was appended
	patience  time.Duration // how long the others wait for it then
	paused    bool          // it is too far ahead of the others
	queue     []enrich.Input
	handed    int  // records at the queue's head that are in the transaction under way
	begun     bool // where reading begins is known
	open      bool // it is fetched: the state is there and agrees
	trial     trial
	marked    bool // the group knows that this owner has begun
	gaps      []InputGap
}

// next is the first offset that is not in the transaction under way: beyond the ends of
// transactions that follow the last record, so that the group stands at the topic's end.
func (src *source) next() int64 {
	switch src.handed {
	case 0:
		return src.committed
	case len(src.queue):
		return src.fetched
	}
	return src.queue[src.handed-1].Position.Offset + 1
}

// take appends a fetched record, unless it was fetched before: the client goes
// back to the last commit whenever a transaction is aborted.
func (src *source) take(in enrich.Input) bool {
	if !src.pass(in.Position.Offset) {
		return false
	}
	src.queue, src.latest = append(src.queue, in), in.Appended
	return true
}

// pass goes beyond what is at an offset, unless it did before.
func (src *source) pass(offset int64) bool {
	if offset < src.fetched {
		return false
	}
	src.fetched = offset + 1
	if src.fetched >= src.end {
		src.behind = time.Time{}
	} else if !src.behind.IsZero() {
		src.behind = time.Now()
	}
	return true
}

// head is the record that would be handed out next, nil when none may be: the trial
// says up to where.
func (src *source) head() *enrich.Input {
	if src.handed == len(src.queue) {
		return nil
	}
	if first := src.queue[0].Position.Offset; src.handed == 0 && src.trial.active() && first > src.trial.From {
		src.trial = src.trial.passed(first)
	}
	if in := &src.queue[src.handed]; in.Position.Offset < src.trial.end(src.queue[0].Position.Offset) {
		return in
	}
	return nil
}

// hand moves up to n records of up to size bytes into the transaction, not past
// what the trial allows.
func (src *source) hand(n, size int) (records []enrich.Input, bytes int) {
	for ; src.handed < n && (bytes < size || src.handed == 0); src.handed++ {
		in := src.head()
		if in == nil {
			break
		}
		bytes += weight(in)
	}
	return src.queue[:src.handed], bytes
}

func weight(in *enrich.Input) int { return len(in.Key) + len(in.Value) }

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

// lag counts what is not processed, about.
func (w *worker) lag() (n int64) {
	for _, src := range w.sources {
		n += src.lag()
	}
	return n
}

// suspects counts the offsets that are tried apart.
func (w *worker) suspects() (n int64) {
	for _, src := range w.sources {
		n += src.trial.To - src.trial.From
	}
	return n
}

// lag counts the source's; there may be no source.
func (src *source) lag() int64 {
	if src == nil {
		return 0
	}
	if len(src.queue) == 0 {
		return max(src.high-max(src.committed, src.fetched), 0) // behind the last record there may be ends of transactions
	}
	return max(src.high-src.committed, int64(len(src.queue)), 0)
}
