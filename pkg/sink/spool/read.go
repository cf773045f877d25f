package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// reader is how far the spool was handed out.
type reader struct {
	scanner scanner
	seg     *segment
	// segment and offset are where to begin when no segment is open.
	segment uint64
	offset  int64
	// last is the frame handed out last: an equal or lower seq of the same run is a
	// second copy, left where a segment was given up. A seq of another run is a
	// call of its own, whatever its number.
	last name
	// known tells that nothing but what is missing lies between last and the next.
	known bool
	// row is the first row of the frame at segment and offset.
	row int
	// held is the segment of the oldest frame that may not be delivered yet,
	// reached the newest that was opened.
	held, reached uint64
	// queue are segments that an older version left, the first being read while
	// inOld; main is where reading goes on after them, unread what is left still.
	queue  []Left
	inOld  bool
	main   Position
	unread []Left
	// damage is what was met since the last frame.
	damage []damage
}

// damage is a range of a segment that holds no frame.
type damage struct {
	seg      *segment
	from, to int64
	tail     bool // nothing follows in the segment
}

// beginReading goes to the committed position. It is entered with mu held.
func (s *Spool) beginReading() {
	p := s.committed
	r := &s.reader
	*r = reader{
		segment: p.Segment, offset: p.Offset, row: p.Row, held: p.Segment, reached: p.Segment,
		last: name{p.Agent, p.Run, p.Seq}, known: s.known && !s.skipped, main: p,
	}
	for _, l := range p.Left {
		if s.old[l.Segment] != nil {
			r.queue = append(r.queue, l)
		} else {
			r.unread = append(r.unread, l)
		}
	}
	if len(r.queue) > 0 {
		r.last, r.known = name{}, false
	}
}

// inFlight tells whether a segment may hold frames that were handed out and are
// not committed.
func (r *reader) inFlight(segment uint64) bool { return r.held <= segment && segment <= r.reached }

func (r *reader) close() error {
	if r.scanner.file == nil {
		return nil
	}
	err := r.scanner.file.Close()
	r.scanner = scanner{}
	r.seg = nil
	if err != nil {
		return fmt.Errorf("spool: close segment: %w", err)
	}
	return nil
}

// Ready tells whether there are durable bytes that were not read: Next then
// returns at once, unless they are damaged.
func (s *Spool) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.reader
	if r.inOld && r.scanner.at < r.seg.end || !r.inOld && len(r.queue) > 0 || len(r.queue) > 1 {
		return true
	}
	for _, seg := range s.segments {
		if from, ahead := r.ahead(seg); ahead && from < seg.end {
			return true
		}
	}
	return false
}

// Await returns when Ready is true, or with ctx's error.
func (s *Spool) Await(ctx context.Context) error {
	for {
		s.mu.Lock()
		more := s.more
		s.mu.Unlock()
		if s.Ready() {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ahead is where reading of a segment begins or goes on; ok is false for one that
// was passed or is dropped.
func (r *reader) ahead(seg *segment) (from int64, ok bool) {
	open := r.seg != nil && !r.inOld
	switch {
	case seg.doomed:
		return 0, false
	case open && seg == r.seg:
		return r.scanner.at, true
	case open:
		return segmentHeader, seg.number > r.seg.number
	case seg.number == r.segment:
		return max(r.offset, segmentHeader), true
	}
	return segmentHeader, seg.number > r.segment
}

// Next waits for a durable frame after the last and hands it out. Its payload is
// valid until the next call.
func (s *Spool) Next(ctx context.Context) (Frame, error) {
	for {
		f, ok, more, err := s.tryNext()
		if err != nil || ok {
			return f, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// tryNext returns the next frame, or a channel that is closed when there may be
// one.
func (s *Spool) tryNext() (f Frame, ok bool, more <-chan struct{}, err error) {
	r := &s.reader
	for {
		s.mu.Lock()
		more = s.more
		s.mu.Unlock()
		if r.seg != nil {
			if f, ok, err = s.inSegment(); err != nil || ok {
				return f, ok, nil, err
			}
		}
		moved, err := s.advance()
		if err != nil {
			return Frame{}, false, nil, err
		}
		if !moved {
			r.scanner.forgetGiant()
			return Frame{}, false, more, nil
		}
	}
}

// inSegment reads on in the open segment, past second copies.
func (s *Spool) inSegment() (Frame, bool, error) {
	r := &s.reader
	s.mu.Lock()
	r.scanner.end = r.seg.end
	s.mu.Unlock()
	for {
		f, ok, err := r.scanner.next()
		if err != nil || !ok {
			return Frame{}, false, err
		}
		if f.Agent == r.last.agent && f.Run == r.last.run && f.Seq <= r.last.seq {
			continue
		}
		s.handOut(&f)
		return f, true, nil
	}
}

// handOut tells a frame's place and what is missing before it.
func (s *Spool) handOut(f *Frame) {
	r := &s.reader
	f.place.segment = r.seg.number
	f.prior, f.rest = r.last, r.unread
	if r.inOld {
		f.main, f.rest = &r.main, append(slices.Clone(r.queue[1:]), r.unread...)
		f.place.last = f.place.end == r.seg.end
	}
	if f.place.segment == r.segment && f.place.start == max(r.offset, segmentHeader) {
		f.Row = r.row
	}
	f.Missing = s.missing(f)
	s.mu.Lock()
	r.last, r.known, r.damage = name{f.Agent, f.Run, f.Seq}, true, nil
	if f.Agent == s.identity.Agent {
		s.handed = max(s.handed, f.Seq)
	}
	s.mu.Unlock()
}

// following is the segment after what was read, and where in it reading begins.
// It is entered with mu held.
func (s *Spool) following() (*segment, int64) {
	r := &s.reader
	if len(r.queue) > 0 {
		l := r.queue[0]
		r.segment, r.offset, r.row = l.Segment, l.Offset, l.Row
		return s.old[l.Segment], max(l.Offset, segmentHeader)
	}
	for _, seg := range s.segments {
		if from, ok := r.ahead(seg); ok && seg != r.seg {
			r.reached = max(r.reached, seg.number)
			return seg, from
		}
	}
	return nil, 0
}

// endOld goes on after a segment that was left. It is entered with mu held.
func (s *Spool) endOld() error {
	r := &s.reader
	if !r.inOld {
		return nil
	}
	r.inOld = false
	r.queue = r.queue[1:]
	if len(r.queue) == 0 {
		m := r.main
		r.segment, r.offset, r.row = m.Segment, m.Offset, m.Row
		r.last, r.known, r.damage = name{m.Agent, m.Run, m.Seq}, s.known, nil
	}
	return r.close()
}

// advance opens the segment after the one that was read; moved is false when
// there is none.
func (s *Spool) advance() (moved bool, err error) {
	r := &s.reader
	s.mu.Lock()
	if err := s.endOld(); err != nil {
		s.mu.Unlock()
		return false, err
	}
	seg, offset := s.following()
	old := len(r.queue) > 0
	s.mu.Unlock()
	if seg == nil {
		return false, nil
	}
	f, err := s.files.open(segmentName(seg.number))
	if errors.Is(err, fs.ErrNotExist) {
		return true, s.forget(seg, old)
	}
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.close(); err != nil {
		return false, errors.Join(err, f.Close())
	}
	r.seg, r.inOld = seg, old
	r.scanner = scanner{file: f, from: &seg.header, at: offset, end: seg.end, damaged: func(from, to int64) {
		r.damage = append(r.damage, damage{seg, from, to, to == r.scanner.end})
	}}
	return true, nil
}

// forget passes over a segment whose file is gone: dropped a moment ago to make
// room, or taken away by somebody else. The numbering tells what it held.
func (s *Spool) forget(seg *segment, old bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old {
		s.reader.inOld = true
		delete(s.old, seg.number)
		return s.endOld()
	}
	at := slices.Index(s.segments, seg)
	if at < 0 {
		return nil
	}
	if seg == s.writer.seg {
		return fmt.Errorf("spool: %s is gone while it is written: the folder was removed", segmentName(seg.number))
	}
	s.segments = slices.Delete(s.segments, at, at+1)
	s.cfg.Log.Error("a segment of the spool is gone, its calls are lost", "segment", seg.number)
	return nil
}
