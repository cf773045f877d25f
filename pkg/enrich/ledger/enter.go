package ledger

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// enter notes a row that has a name and tells whether it came before.
func (l *Ledger) enter(h *host, e *enrich.Event, out *enrich.Out) (twice bool) {
	d := &e.Delivery
	rows := uint64(max(d.Rows, 1))
	if d.Seq == 0 || d.Seq == math.MaxUint64 || d.Row < 0 || uint64(d.Row) >= rows {
		l.stats.Unsure++
		return false
	}
	s := h.stream(d.Run, topicOf(e))
	own := e.Kind == event.Gap || e.Kind == event.Heartbeat
	if !own && !s.named {
		s.named = true
		l.changedStream(s)
	}
	if s.opened && s.open.seq == d.Seq {
		return l.row(s, &s.open, e, out)
	}
	if i := s.at(d.Seq); i < len(s.spans) {
		if done, twice := l.again(s, i, e, out); done {
			return twice
		}
	}
	l.call(s, e, rows, out)
	return false
}

// again takes a row of a call that is accounted for. Where it is not done, the call
// is one that was missed.
func (l *Ledger) again(s *stream, i int, e *enrich.Event, out *enrich.Out) (done, twice bool) {
	switch p := &s.spans[i]; p.what {
	case seen:
		if c := s.partialCall(e.Delivery.Seq); c != nil {
			return true, l.row(s, c, e, out)
		}
		return true, true
	case unsure:
		l.stats.Unsure++
		return true, false
	case missing: // the marker that stands in its place, once more
		again := p.hole.marker && p.to == e.Delivery.Seq && covers(e)
		return again, again
	case before:
	}
	return false, false
}

// row enters a row of a call of which some came.
func (l *Ledger) row(s *stream, c *call, e *enrich.Event, out *enrich.Out) (twice bool) {
	if twice = c.add(uint64(e.Delivery.Row)); twice {
		return true
	}
	l.changedStream(s)
	l.place(s, e, out)
	c.since = s.host.clock
	if !c.complete() {
		s.stirred = s.stirred || c != &s.open
		return false
	}
	l.tellRows(s, c, e, out)
	if c == &s.open {
		l.closeOpen(s)
		return false
	}
	seq := c.seq
	for i := range s.partial {
		if s.partial[i].seq == seq {
			s.partial = append(s.partial[:i], s.partial[i+1:]...)
			break
		}
	}
	return false
}

func (l *Ledger) closeOpen(s *stream) {
	s.opened = false
	s.host.open--
}

// call enters the first row of a call that did not come before.
func (l *Ledger) call(s *stream, e *enrich.Event, rows uint64, out *enrich.Out) {
	h, d := s.host, &e.Delivery
	l.changedStream(s)
	l.settleBefore(s, e, out)
	run, prev := previous(d)
	if covers(e) || run != d.Run || !s.follows(d.Seq, prev) {
		l.chain(s, e, run, prev, out)
	}
	s.seen = h.time()
	if d.Spooled.After(s.spooled) {
		s.spooled = d.Spooled
	}
	l.place(s, e, out)
	if rows == 1 {
		return
	}
	have := append(s.open.have[:0], row{uint64(d.Row), uint64(d.Row)})
	s.open = call{seq: d.Seq, rows: rows, have: have, spooled: d.Spooled, since: h.clock}
	s.opened = true
	h.open++
}

// previous is the call that d names as the one before it on its topic, or nothing.
func previous(d *event.Delivery) (run string, seq uint64) {
	run, digits, ok := strings.Cut(d.Prev, "/")
	if !ok {
		return "", 0
	}
	for _, c := range []byte(digits) { // strconv does the same at twice the cost
		if c < '0' || c > '9' || seq > (math.MaxUint64-9)/10 {
			return "", 0
		}
		seq = seq*10 + uint64(c-'0')
	}
	return run, seq
}

// settleBefore settles the calls of the topic whose rows can come no more in line,
// since another call came.
func (l *Ledger) settleBefore(s *stream, e *enrich.Event, out *enrich.Out) {
	if s.stirred {
		l.settlePartial(s, e, out)
	}
	if s.host.open == 0 {
		return
	}
	for _, o := range s.host.streams {
		if o.topic == s.topic && o.opened {
			l.settle(o, e, out)
		}
	}
}

// settle takes the open call for one that lacks rows.
func (l *Ledger) settle(s *stream, e *enrich.Event, out *enrich.Out) {
	l.changedStream(s)
	l.closeOpen(s)
	c := s.open
	s.open = call{}
	if c.lossy {
		s.forgetCall(c.seq)
		return
	}
	l.tellRows(s, &c, e, out)
	s.partial = append(s.partial, c)
	if len(s.partial) > l.cfg.MaxPartial {
		s.forgetCall(s.partial[0].seq)
		s.partial = append(s.partial[:0], s.partial[1:]...)
		l.stats.Merged += 1 + s.shrink(l.cfg.MaxRanges)
	}
}

func (l *Ledger) settlePartial(s *stream, e *enrich.Event, out *enrich.Out) {
	s.stirred = false
	l.changedStream(s)
	for i := range s.partial {
		if c := &s.partial[i]; c.missing() != c.told {
			l.tellRows(s, c, e, out)
		}
	}
}

// settleLate settles what waited long enough by the host's clock.
func (l *Ledger) settleLate(h *host, now time.Time, out *enrich.Out) {
	for _, s := range h.streams {
		if !s.opened {
			continue
		}
		if s.open.since.IsZero() {
			s.open.since = now
		}
		if now.Sub(s.open.since) >= l.cfg.RowWait {
			l.settle(s, nil, out)
		}
	}
}

// name is a call's name.
func (s *stream) name(seq uint64) string {
	return string(s.host.name) + "/" + s.run + "/" + strconv.FormatUint(seq, 10)
}
