package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// scanner finds the frames of one segment, and past damage the next that checks.
type scanner struct {
	file file
	salt uint32
	// at is where the next frame should begin, end where durable bytes end.
	at, end int64
	// window holds bytes of the file from base on.
	window []byte
	base   int64
	// damaged is told of each range that holds no frame.
	damaged func(from, to int64)
}

// windowSize is how much is read at once.
const windowSize = 64 << 10

// bytes returns n bytes at offset, fewer at the end. They are valid until the
// next call.
func (s *scanner) bytes(offset, n int64) ([]byte, error) {
	n = min(n, s.end-offset)
	if n <= 0 {
		return nil, nil
	}
	if offset >= s.base && offset+n <= s.base+int64(len(s.window)) {
		return s.window[offset-s.base:][:n], nil
	}
	want := min(max(n, windowSize), s.end-offset)
	if int64(cap(s.window)) < want || int64(cap(s.window)) > 16*max(want, windowSize) {
		s.window = make([]byte, want)
	}
	s.window = s.window[:want]
	read, err := s.file.ReadAt(s.window, offset)
	s.window, s.base = s.window[:read], offset
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return s.window[:min(n, int64(read))], nil
}

// next returns the next frame; ok is false at the end of what is durable. The
// frame's payload is valid until the next call.
func (s *scanner) next() (f Frame, ok bool, err error) {
	start := s.at
	for s.at < s.end {
		f, ok, err = s.frameAt(s.at)
		if err != nil {
			return Frame{}, false, err
		}
		if ok {
			break
		}
		if s.at, err = s.candidate(s.at + 1); err != nil {
			return Frame{}, false, err
		}
	}
	if s.at > start && s.damaged != nil {
		s.damaged(start, s.at)
	}
	if ok {
		f.place.start = s.at
		s.at += frameSize(&f.Call)
		f.place.end = s.at
	}
	return f, ok, nil
}

func (s *scanner) frameAt(at int64) (f Frame, ok bool, err error) {
	b, err := s.bytes(at, frameHeader)
	if err != nil {
		return Frame{}, false, err
	}
	h, ok := parseHead(b)
	if !ok || at+h.size() > s.end {
		return Frame{}, false, nil
	}
	if b, err = s.bytes(at, h.size()); err != nil {
		return Frame{}, false, err
	}
	f, ok = decode(b, s.salt)
	return f, ok, nil
}

// candidate is the next place from at on where a frame may begin.
func (s *scanner) candidate(at int64) (int64, error) {
	for at < s.end {
		b, err := s.bytes(at, windowSize)
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(b, []byte(frameMagic)); i >= 0 {
			return at + int64(i), nil
		}
		if len(b) < len(frameMagic) || at+int64(len(b)) >= s.end {
			return s.end, nil
		}
		at += int64(len(b)) - int64(len(frameMagic)) + 1
	}
	return s.end, nil
}

// reader is how far the spool was handed out.
type reader struct {
	scanner scanner
	seg     *segment
	// at is where to begin when no segment is open.
	segment uint64
	offset  int64
	// agent and seq are of the last frame handed out: an equal or lower seq of
	// the same agent is a second copy, left where a segment was given up.
	agent  string
	seq    uint64
	oldest time.Time
	// held is the segment of the oldest frame that may not be delivered yet.
	held uint64
}

func (r *reader) begin(p Position, segments []*segment) {
	r.segment, r.offset, r.agent, r.seq = p.Segment, p.Offset, p.Agent, p.Seq
	r.held = p.Segment
	if len(segments) > 0 && segments[0].number > p.Segment {
		r.segment, r.offset = segments[0].number, segmentHeader
	}
}

// inFlight tells whether a segment may hold frames that were handed out and are
// not committed.
func (r *reader) inFlight(segment uint64) bool {
	reached := r.held
	if r.seg != nil {
		reached = r.seg.number
	}
	return r.held <= segment && segment <= reached
}

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
	for _, seg := range s.segments {
		if from, unread := s.reader.unread(seg); unread && from < seg.end {
			return true
		}
	}
	return false
}

// unread is where reading of a segment begins or goes on; unread is false for one
// that was passed.
func (r *reader) unread(seg *segment) (from int64, unread bool) {
	switch {
	case r.seg != nil && seg.number == r.seg.number:
		return r.scanner.at, true
	case r.seg != nil:
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
		if f.Agent = r.seg.agent; f.Agent == r.agent && f.Seq <= r.seq {
			continue
		}
		f.place.segment = r.seg.number
		r.agent, r.seq = f.Agent, f.Seq
		s.mu.Lock()
		r.oldest = f.Spooled
		s.mu.Unlock()
		return f, true, nil
	}
}

// following is the segment after what was read, and where in it reading begins.
func (s *Spool) following() (*segment, int64) {
	for _, seg := range s.segments {
		if from, unread := s.reader.unread(seg); unread && seg != s.reader.seg {
			return seg, from
		}
	}
	return nil, 0
}

// advance opens the segment after the one that was read; moved is false when
// there is none.
func (s *Spool) advance() (moved bool, err error) {
	r := &s.reader
	s.mu.Lock()
	seg, offset := s.following()
	s.mu.Unlock()
	if seg == nil {
		return false, nil
	}
	f, err := s.files.open(segmentName(seg.number), false)
	if errors.Is(err, fs.ErrNotExist) {
		return true, s.forget(seg)
	}
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	if err := r.close(); err != nil {
		return false, errors.Join(err, f.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.seg = seg
	r.scanner = scanner{file: f, salt: seg.salt, at: offset, end: seg.end, damaged: func(from, to int64) { s.damage(seg, from, to) }}
	return true, nil
}

// forget passes over a segment whose file is gone: dropped a moment ago to make
// room, or taken away by somebody else.
func (s *Spool) forget(seg *segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.segments, seg)
	if at < 0 {
		return nil
	}
	if seg == s.writer.seg {
		return fmt.Errorf("spool: %s is gone while it is written: the folder was removed", segmentName(seg.number))
	}
	s.segments = slices.Delete(s.segments, at, at+1)
	s.drops.note(Drop{Reason: Damaged, Segment: seg.number, From: seg.first, Bytes: seg.end})
	s.cfg.Log.Error("a segment of the spool is gone, its calls are lost", "segment", seg.number)
	return nil
}

// damage notes a range without frames. At the end of a segment of an earlier run
// it is what a cut-off append leaves, which was promised to nobody.
func (s *Spool) damage(seg *segment, from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to == seg.end && seg != s.writer.seg {
		s.cfg.Log.Info("the end of a segment holds no whole call, it was cut off while written", "segment", seg.number, "from", from, "bytes", to-from)
		return
	}
	s.drops.note(Drop{Reason: Damaged, Segment: seg.number, Bytes: to - from})
	s.cfg.Log.Error("damage in the spool: calls are lost", "segment", seg.number, "from", from, "to", to)
}
