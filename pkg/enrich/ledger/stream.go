package ledger

import (
	"slices"
	"sort"
	"time"
)

// what says what is known of a range of calls.
type what uint8

const (
	// seen: its last call came, and no other of this topic lies in it.
	seen what = iota
	// before: it lies before the first call that came; nobody misses it.
	before
	// missing: its last call did not come.
	missing
	// unsure: forgotten, to stay within a bound. What comes of it passes.
	unsure
)

// span is a range of calls of one run and topic. It begins after the end of the one
// below it, the first at 1.
type span struct {
	to   uint64
	what what
	hole *hole // of before and missing
}

// stream is what came of one agent, run and topic.
type stream struct {
	host       *host
	run, topic string
	born       uint64 // orders a host's streams
	// seen is when the last call came, by the host's time; spooled the latest that one was.
	seen, spooled time.Time
	// named tells that rows came, and not only records of logger-ext's own.
	named bool
	// first is the lowest call that came; one before it is not missed.
	first uint64
	spans []span

	// open is the call whose rows come, if opened; partial are earlier ones that
	// lack rows.
	open    call
	opened  bool
	partial []call
	// stirred tells that rows of a partial one came since it was told.
	stirred bool
	dirty   bool
}

// max is the highest call that is accounted for.
func (s *stream) max() uint64 {
	if len(s.spans) == 0 {
		return 0
	}
	return s.spans[len(s.spans)-1].to
}

// at is the index of the span that seq lies in, or the number of spans.
func (s *stream) at(seq uint64) int {
	if len(s.spans) == 0 || seq > s.max() {
		return len(s.spans)
	}
	return sort.Search(len(s.spans), func(i int) bool { return s.spans[i].to >= seq })
}

// from is the first call of span i.
func (s *stream) from(i int) uint64 {
	if i == 0 {
		return 1
	}
	return s.spans[i-1].to + 1
}

// came tells whether seq, a call that another names, is accounted for.
func (s *stream) came(seq uint64) bool { return s != nil && seq <= s.max() }

// follows appends the call seq that came after prev, where nothing is missing
// between: the ordinary case.
func (s *stream) follows(seq, prev uint64) bool {
	last := len(s.spans) - 1
	if last < 0 || s.spans[last].what != seen || s.spans[last].to != prev || seq <= prev {
		return false
	}
	s.spans[last].to = seq
	return true
}

// split puts parts in the place of span i, without those that are empty, and joins
// seen ones that touch.
func (s *stream) split(i int, parts ...span) {
	low := s.from(i)
	kept := make([]span, 0, len(parts))
	for _, p := range parts {
		if p.to >= low {
			kept = append(kept, p)
			low = p.to + 1
		}
	}
	end := min(i+1, len(s.spans))
	s.spans = slices.Replace(s.spans, i, end, kept...)
	s.join()
}

// join makes one of seen spans that touch, and of unsure ones.
func (s *stream) join() {
	out := s.spans[:0]
	for _, p := range s.spans {
		if n := len(out); n > 0 && out[n-1].what == p.what && (p.what == seen || p.what == unsure) {
			out[n-1].to = p.to
			continue
		}
		out = append(out, p)
	}
	clear(s.spans[len(out):])
	s.spans = out
}

// shrink merges the lowest spans until there are no more than most, and returns how
// often it did.
func (s *stream) shrink(most int) (merged int64) {
	for len(s.spans) > most {
		s.spans[1] = span{to: s.spans[1].to, what: unsure}
		s.spans = slices.Delete(s.spans, 0, 1)
		s.join()
		merged++
	}
	return merged
}

// forgetCall makes one seen call unsure.
func (s *stream) forgetCall(seq uint64) {
	i := s.at(seq)
	if i == len(s.spans) || s.spans[i].what != seen {
		return
	}
	s.split(i, span{to: seq - 1, what: seen}, span{to: seq, what: unsure}, span{to: s.spans[i].to, what: seen})
}

func (s *stream) partialCall(seq uint64) *call {
	for i := range s.partial {
		if s.partial[i].seq == seq {
			return &s.partial[i]
		}
	}
	return nil
}
