package kinesis

import (
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// requestFailed handles the failure of a request as a whole.
func (a *attempt) requestFailed(entries []*entry, err error) {
	switch {
	case judge(err) == refused && len(entries) > 1:
		for _, e := range entries {
			e.lane.alone = true // one of them is to blame
		}
	case judge(err) != held:
		for _, e := range entries {
			a.entryFailed(e, err)
		}
	case said(err).code == "":
		a.stale = true
		a.endAll(err)
	default:
		a.stale = a.stale || stale(err)
		for _, l := range a.lanes {
			if l.stream == entries[0].lane.stream {
				a.end(l, err)
			}
		}
	}
}

// entryFailed handles the failure of one entry.
func (a *attempt) entryFailed(e *entry, err error) {
	l := e.lane
	l.last = err
	switch verdict := judge(err); verdict {
	case throttled, failed:
		a.sink.pacer.slow(l.laneName, shardIn(err.Error()), verdict == throttled)
	case refused:
		a.narrow(e, err)
	default:
		a.stale = a.stale || stale(err)
		a.end(l, errNotSent)
		for _, i := range e.records { // which None may have sent beside others
			a.errs[i] = err
		}
	}
}

// narrow sends half of a refused entry, or finds the one record to blame.
func (a *attempt) narrow(e *entry, err error) {
	l := e.lane
	l.alone = true
	switch {
	case len(e.records) > 1:
		l.most, l.head = len(e.records)/2, nil
	case len(l.left) > 0 && l.left[0] == e.records[0]:
		a.refuse(l, err)
	}
	// None's other records are sent again, each in its turn.
}

// refuse ends a lane at its next record, which will never be taken.
func (a *attempt) refuse(l *lane, err error) {
	blamed := l.left[0]
	a.end(l, errNotSent)
	a.errs[blamed] = sink.Permanent(err)
}

// end gives up a lane: its next record failed with err, and what follows must not
// pass it.
func (a *attempt) end(l *lane, err error) {
	for n, i := range l.left {
		a.errs[i] = errNotSent
		if n == 0 {
			a.errs[i] = err
		}
	}
	l.ended, l.head = true, nil
}

// endAll gives up every lane that is not done.
func (a *attempt) endAll(err error) {
	for _, l := range a.lanes {
		if l.ended {
			continue
		}
		if l.last != nil {
			a.end(l, fmt.Errorf("%w (last answer: %w)", err, l.last))
			continue
		}
		a.end(l, err)
	}
}
