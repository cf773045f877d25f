package spool

import (
	"cmp"
	"slices"
)

// Reason says why calls are not in the spool any more, or never were.
type Reason string

// The reasons of a Loss.
const (
	DroppedOldest Reason = "drop_oldest" // removed unread to make room
	DroppedNewest Reason = "drop_newest" // not taken, for want of room
	Unwritable    Reason = "unwritable"  // the disk refused
	Damaged       Reason = "damaged"     // on disk, but not as it was written
)

// Loss is a range of calls that were lost. From and To are the first and last of
// them; calls of other streams may lie between. Stream is empty when it is not
// known, and so is Run. Bytes are those of payloads, or of the damage.
type Loss struct {
	Reason Reason `json:"reason"`
	Agent  string `json:"agent"`
	Run    string `json:"run"`
	Stream string `json:"stream"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Calls  uint64 `json:"calls"`
	Bytes  int64  `json:"bytes"`
}

// entry is a loss as the ledger keeps it.
type entry struct {
	Loss

	// Held tells that the calls are in memory still and may yet be written.
	Held bool `json:"held,omitempty"`
	// segment is the last that was dropped for it.
	segment uint64
}

// extend takes a later loss into the range when it is of the same kind.
func (e *entry) extend(l Loss) {
	e.From, e.To = min(e.From, l.From), max(e.To, l.To)
	e.Calls += l.Calls
	e.Bytes += l.Bytes
}

func (e *entry) sameKind(l *Loss) bool {
	return e.Reason == l.Reason && e.Agent == l.Agent && e.Run == l.Run && e.Stream == l.Stream
}

// losses are the ranges that were lost, oldest first.
type losses []entry

// add notes a loss. It extends the last range of its kind when joined says that
// no surviving call of the stream lies between.
func (all losses) add(l Loss, segment uint64, joined func(last *entry) bool) losses {
	for i := range slices.Backward(all) {
		e := &all[i]
		if !e.sameKind(&l) || e.Held {
			continue
		}
		if l.From > e.To && (l.From == e.To+1 || joined(e)) {
			e.extend(l)
			e.segment = segment
			return all
		}
		break
	}
	return append(all, entry{Loss: l, segment: segment})
}

// merge joins the two nearest ranges of one kind, and when there are none those
// that differ in their stream only, then in their run; ok is false when nothing
// can be joined.
func (all losses) merge() (merged losses, ok bool) {
	for _, alike := range []func(a, b *entry) bool{
		func(a, b *entry) bool { return a.Stream == b.Stream && a.Run == b.Run },
		func(a, b *entry) bool { return a.Run == b.Run },
		func(_, _ *entry) bool { return true },
	} {
		if i, j := all.nearest(alike); j > 0 {
			return all.join(i, j), true
		}
	}
	return all, false
}

// nearest is the pair with the least between them, in the order of the list.
func (all losses) nearest(alike func(a, b *entry) bool) (first, second int) {
	best := ^uint64(0)
	for j := range all {
		for i := j - 1; i >= 0; i-- {
			a, b := &all[i], &all[j]
			if a.Reason != b.Reason || a.Agent != b.Agent || a.Held != b.Held || !alike(a, b) {
				continue
			}
			if gap := max(a.From, b.From) - min(a.To, b.To, max(a.From, b.From)); gap < best {
				best, first, second = gap, i, j
			}
			break
		}
	}
	return first, second
}

func (all losses) join(i, j int) losses {
	e, by := all[i], all[j].Loss
	if e.Stream != by.Stream {
		e.Stream = ""
	}
	if e.Run != by.Run {
		e.Run = ""
	}
	e.extend(by)
	e.segment = all[j].segment
	all = slices.Delete(all, j, j+1)
	all[i] = e
	return all
}

// last is the highest seq of an agent that was lost.
func (all losses) last(agent string) (seq uint64) {
	for i := range all {
		if all[i].Agent == agent {
			seq = max(seq, all[i].To)
		}
	}
	return seq
}

// between are the losses of an agent that end after one seq and before another,
// in order of their ends; to 0 is no bound.
func (all losses) between(agent string, after, before uint64) (found []Loss) {
	for i := range all {
		if l := &all[i].Loss; l.Agent == agent && l.To > after && (before == 0 || l.To < before) {
			found = append(found, *l)
		}
	}
	slices.SortStableFunc(found, func(a, b Loss) int { return cmp.Compare(a.To, b.To) })
	return found
}

// uncovered calls yield for each range of seqs between two that no loss covers.
func (all losses) uncovered(agent string, after, before uint64, yield func(from, to uint64)) {
	var ranges []Loss
	for i := range all {
		if l := all[i].Loss; l.Agent == agent && l.To > after && l.From < before {
			ranges = append(ranges, l)
		}
	}
	slices.SortFunc(ranges, func(a, b Loss) int { return cmp.Compare(a.From, b.From) })
	next := after + 1
	for _, l := range ranges {
		if l.From > next {
			yield(next, min(l.From, before)-1)
		}
		next = max(next, l.To+1)
	}
	if next < before {
		yield(next, before-1)
	}
}
