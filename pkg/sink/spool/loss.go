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
	// Spans are what the range has without the calls between that are not lost, in
	// order; none means all of it, exactly or because there are too many.
	Spans []span `json:"spans,omitempty"`
	// segment is the last that was dropped for it.
	segment uint64
}

// span is a range without holes.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// maxSpans bounds how exactly a range is kept.
const maxSpans = 16

func (e *entry) spans() []span {
	if len(e.Spans) > 0 {
		return e.Spans
	}
	return []span{{e.From, e.To}}
}

// extend takes another loss into the range.
func (e *entry) extend(by *entry) {
	e.Spans = joined(append(slices.Clone(e.spans()), by.spans()...))
	e.From, e.To = min(e.From, by.From), max(e.To, by.To)
	e.Calls += by.Calls
	e.Bytes += by.Bytes
	e.segment = by.segment
}

// joined are spans in order, those that touch made one; none when one is left, or
// too many.
func joined(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.From, b.From) })
	kept := all[:1]
	for _, next := range all[1:] {
		if last := &kept[len(kept)-1]; next.From <= last.To+1 {
			last.To = max(last.To, next.To)
			continue
		}
		kept = append(kept, next)
	}
	if len(kept) == 1 || len(kept) > maxSpans {
		return nil
	}
	return kept
}

// begin cuts off what is before a seq.
func (e *entry) begin(from uint64) {
	e.From = from
	e.Spans = slices.DeleteFunc(e.Spans, func(s span) bool { return s.To < from })
	if len(e.Spans) > 0 {
		e.Spans[0].From = max(e.Spans[0].From, from)
		e.From = e.Spans[0].From
	}
}

func (e *entry) sameKind(l *Loss) bool {
	return e.Reason == l.Reason && e.Agent == l.Agent && e.Run == l.Run && e.Stream == l.Stream
}

// losses are the ranges that were lost, oldest first.
type losses []entry

// add notes a loss. It extends the last range of its kind when joined says that
// no surviving call of the stream lies between.
func (all losses) add(l entry, joined func(last *entry) bool) losses {
	for i := range slices.Backward(all) {
		e := &all[i]
		if !e.sameKind(&l.Loss) || e.Held {
			continue
		}
		if l.From > e.To && (l.From == e.To+1 || joined(e)) {
			e.extend(&l)
			return all
		}
		break
	}
	return append(all, l)
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
	e, by := all[i], all[j]
	if e.Stream != by.Stream {
		e.Stream = ""
	}
	if e.Run != by.Run {
		e.Run = ""
	}
	e.extend(&by)
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
	var ranges []span
	for i := range all {
		if l := &all[i]; l.Agent == agent && l.To > after && l.From < before {
			ranges = append(ranges, l.spans()...)
		}
	}
	slices.SortFunc(ranges, func(a, b span) int { return cmp.Compare(a.From, b.From) })
	next := after + 1
	for _, l := range ranges {
		if l.From > next && next < before {
			yield(next, min(l.From, before)-1)
		}
		next = max(next, l.To+1)
	}
	if next < before {
		yield(next, before-1)
	}
}
