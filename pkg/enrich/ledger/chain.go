package ledger

import (
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// chain enters a call out of the ordinary: the first of a run, one behind a gap, one
// that fills a gap, or a marker. prev is the call before it on its topic.
func (l *Ledger) chain(s *stream, e *enrich.Event, run string, prev uint64, out *enrich.Out) {
	d := &e.Delivery
	if run != d.Run {
		if run != "" && prev > 0 {
			l.require(s, run, prev, e, out)
		}
		prev = 0 // nothing came before it in this run
	}
	if s.first == 0 || d.Seq < s.first {
		s.first = d.Seq
	}
	if i := s.at(d.Seq); i < len(s.spans) {
		l.fill(s, i, prev, e, out)
	} else {
		l.extend(s, prev, e, out)
	}
	l.reveal(s, d.Seq, e, out)
	l.stats.Merged += s.shrink(l.cfg.MaxRanges)
}

// extend enters a call above all others of its run.
func (l *Ledger) extend(s *stream, prev uint64, e *enrich.Event, out *enrich.Out) {
	if top := s.max(); prev > top {
		l.miss(s, prev, e, out)
	}
	s.split(len(s.spans), l.part(s, e))
	l.tellMarker(s, e, out)
}

// miss enters that the call prev did not come.
func (l *Ledger) miss(s *stream, prev uint64, e *enrich.Event, out *enrich.Out) {
	gap := &hole{until: e.Delivery.Spooled}
	kind := l.missed(s, prev)
	if kind == missing && len(s.spans) > 0 {
		gap.since = s.spooled
	}
	i := len(s.spans)
	s.split(i, span{to: prev, what: kind, hole: gap})
	if kind == missing {
		l.tellHole(s, i, e, out)
	}
}

// missed is what is said of the call seq of s, which another names and which did not
// come: an agent's first call on a topic is the base of its account, and where rows
// have no names nobody can miss them.
func (l *Ledger) missed(s *stream, seq uint64) what {
	known, named := false, false
	for _, o := range s.host.streams {
		if o.topic == s.topic {
			named = named || o.named
			known = known || o.first > 0 && o.first < seq
		}
	}
	switch {
	case !known:
		return before
	case l.unnamed[s.topic] && !named:
		return unsure
	}
	return missing
}

// require notes that the call seq of another run is named as the one before.
func (l *Ledger) require(s *stream, run string, seq uint64, e *enrich.Event, out *enrich.Out) {
	o := s.host.find(run, s.topic)
	if o.came(seq) {
		return
	}
	if o == nil {
		o = l.insert(s, run)
	}
	l.changedStream(o)
	o.seen = s.host.time()
	l.miss(o, seq, e, out)
}

// insert makes the stream of a run that is older than that of s.
func (l *Ledger) insert(s *stream, run string) *stream {
	h := s.host
	o := &stream{host: h, run: run, topic: s.topic}
	h.streams = slices.Insert(h.streams, slices.Index(h.streams, s), o)
	for i, s := range h.streams {
		s.born = uint64(i)
		l.changedStream(s)
	}
	return o
}

// fill enters a call in the midst of what did not come. What is left of it below is
// missing up to prev, what is left above as before.
func (l *Ledger) fill(s *stream, i int, prev uint64, e *enrich.Event, out *enrich.Out) {
	old := s.spans[i]
	if old.hole == nil {
		return // forgotten just now, to stay within a bound
	}
	low, seq := s.from(i), e.Delivery.Seq
	prev = min(max(prev, low-1), seq-1)
	below := span{to: prev, what: old.what, hole: old.hole.below(e.Delivery.Spooled)}
	// What lies above a call that came is missed, even where it was the base.
	above := span{to: old.to, what: l.missed(s, old.to), hole: old.hole}
	mid := l.part(s, e)
	switch {
	case seq < old.to:
		old.hole.above(e.Delivery.Spooled)
	case old.what != missing:
	case mid.hole == nil || mid.hole.possible: // the latter is told under an id of its own
		l.retract(s, i, e, out)
	default: // now it is explained
		mid.hole.revision, mid.hole.told = old.hole.revision, old.hole.told
	}
	s.split(i, below, mid, above)
	l.tellParts(s, prev, below.what == missing && prev >= low, e, out)
	l.tellMarker(s, e, out)
	if seq < old.to {
		l.tellParts(s, old.to, true, e, out)
	}
}

// tellParts tells of the span that ends at to.
func (l *Ledger) tellParts(s *stream, to uint64, tell bool, e *enrich.Event, out *enrich.Out) {
	if i := s.at(to); tell && i < len(s.spans) && s.spans[i].what == missing && s.spans[i].to == to {
		l.tellHole(s, i, e, out)
	}
}

// part is the span that the event itself makes: a call that came, or the marker of
// calls that did not.
func (l *Ledger) part(s *stream, e *enrich.Event) span {
	if !covers(e) {
		return span{to: e.Delivery.Seq, what: seen}
	}
	return span{to: e.Delivery.Seq, what: missing, hole: markerHole(e, s)}
}

// reveal turns the base of other runs of the topic into a gap, where it turns out
// that an earlier call did come.
func (l *Ledger) reveal(s *stream, seq uint64, e *enrich.Event, out *enrich.Out) {
	for _, o := range s.host.streams {
		if o == s || o.topic != s.topic || len(o.spans) == 0 || o.spans[0].what != before || o.spans[0].to <= seq {
			continue
		}
		l.changedStream(o)
		if l.missed(o, o.spans[0].to) == missing {
			o.spans[0].what = missing
			l.tellHole(o, 0, e, out)
		}
	}
}

// hole is what is told of calls that are missing.
type hole struct {
	// marker tells that one stands in their place; word is then its reason.
	marker       bool
	word, policy string
	from, calls  uint64 // as the marker says
	bytes        int64
	possible     bool
	since, until time.Time
	told         bool
	revision     int64
}

// below is the part before a call that came after all.
func (h *hole) below(until time.Time) *hole {
	return &hole{word: h.word, policy: h.policy, possible: h.possible, since: h.since, until: until}
}

// above makes of h the part after a call that came after all.
func (h *hole) above(since time.Time) {
	h.since, h.calls, h.from, h.bytes = since, 0, 0, 0
}
