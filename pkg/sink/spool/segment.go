package spool

import (
	"errors"
	"slices"
)

// segment is one file of frames. The spool's mu guards what changes in it.
type segment struct {
	header

	number uint64
	// end is where durable frames end, size where written ones do.
	end, size int64
	// first is the seq of its first frame, 0 when it was not read.
	first uint64
	// tallies are what it holds of each stream, when counted says so.
	tallies []tally
	counted bool
	// doomed is set before it is dropped: no reader enters it then.
	doomed bool
}

// tally is what a segment holds of one stream.
type tally struct {
	stream             string
	first, last, calls uint64
	bytes              int64
	spans              []span
}

func (g *segment) count(calls []pending) {
	for i := range calls {
		p := &calls[i]
		g.countOne(p.call.Stream, p.seq, int64(len(p.call.Payload)))
	}
}

func (g *segment) countOne(stream string, seq uint64, bytes int64) {
	if g.first == 0 {
		g.first = seq
	}
	for i := range g.tallies {
		if t := &g.tallies[i]; t.stream == stream {
			t.add(seq, bytes)
			return
		}
	}
	g.tallies = append(g.tallies, tally{stream, seq, seq, 1, bytes, []span{{seq, seq}}})
}

func (t *tally) add(seq uint64, bytes int64) {
	switch last := &t.spans[len(t.spans)-1]; {
	case seq == t.last+1:
		last.To = seq
	case len(t.spans) <= maxSpans:
		t.spans = append(t.spans, span{seq, seq})
	default: // too many to be told apart
		last.To = seq
	}
	t.last = seq
	t.calls++
	t.bytes += bytes
}

// tally counts what a segment of an earlier opening holds, before it is dropped.
// From the seq before on the segment holds first copies of calls that another one
// holds too, up to the last of the segment before it second ones.
func (s *Spool) tally(seg *segment, before uint64) {
	if seg.counted {
		return
	}
	seg.counted, seg.first, seg.tallies = true, 0, nil
	last := s.lastBefore(seg)
	err := s.scan(seg, func(f *Frame) bool {
		if f.Seq > last && (before == 0 || f.Seq < before) && !s.dropped(f) {
			last = f.Seq
			seg.countOne(f.Stream, f.Seq, int64(len(f.Payload)))
		}
		return true
	})
	if err != nil {
		s.cfg.Log.Error("a segment that is dropped cannot be read, what it held is not known", "segment", seg.number, "error", err)
	}
}

// dropped tells whether another copy of the call was dropped before.
func (s *Spool) dropped(f *Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.ledger.losses, func(e entry) bool {
		return e.Reason == DroppedOldest && e.Run == f.Run && e.Agent == f.Agent && e.Stream == f.Stream && e.From <= f.Seq && f.Seq <= e.To
	})
}

// scan calls yield for each frame of a segment until it returns false.
func (s *Spool) scan(seg *segment, yield func(f *Frame) bool) (err error) {
	f, err := s.files.open(segmentName(seg.number))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	scan := scanner{file: f, from: &seg.header, at: segmentHeader, end: seg.size}
	for {
		frame, ok, err := scan.next()
		if err != nil || !ok {
			return err
		}
		if !yield(&frame) {
			return nil
		}
	}
}

// lastBefore is the last seq of the segment before, when that is of the same run,
// stays, and was not written in this opening; else 0.
func (s *Spool) lastBefore(seg *segment) (last uint64) {
	s.mu.Lock()
	at := slices.Index(s.segments, seg)
	var before *segment
	if at > 0 {
		before = s.segments[at-1]
	}
	s.mu.Unlock()
	if before == nil || before.counted || before.run != seg.run {
		return 0
	}
	_ = s.scan(before, func(f *Frame) bool { // what cannot be read has no last
		last = max(last, f.Seq)
		return true
	})
	return last
}

// firstAfter is the seq of the first frame behind a segment in the same run, 0
// when there is none.
func (s *Spool) firstAfter(seg *segment) uint64 {
	s.mu.Lock()
	at := slices.Index(s.segments, seg)
	following := slices.Clone(s.segments[at+1:])
	s.mu.Unlock()
	for _, after := range following {
		if after.run != seg.run {
			return 0
		}
		first := after.first
		if first == 0 {
			_ = s.scan(after, func(f *Frame) bool { // what cannot be read has no first
				first = f.Seq
				return false
			})
		}
		if first > 0 {
			return first
		}
	}
	return 0
}
