package spool

import "slices"

// addSegment takes a segment of an earlier run in. One whose header is damaged
// cannot be read, for nothing tells whose frames it holds; it is set aside. One
// of a newer format is left.
func (s *Spool) addSegment(n uint64) {
	name := segmentName(n)
	size, err := s.files.size(name)
	var b []byte
	if err == nil {
		b, err = s.files.readFile(name, segmentHeader)
	}
	if err != nil {
		s.cfg.Log.Error("a segment cannot be read", "file", name, "error", err)
		return
	}
	h, ok := parseSegmentHeader(b)
	switch {
	case ok:
		s.take(&segment{header: h, number: n, end: size, size: size})
	case newerSegment(b) || newerSegment(b[min(headerBlock, len(b)):]):
		s.leave(n, size)
	case size <= segmentHeader:
		// What a power cut leaves of a segment that no frame was promised in.
		s.discard(n)
	default:
		s.cfg.Log.Error("a segment's header is damaged, it cannot be read and is set aside", "file", name, "bytes", size)
		s.setAside(n, 0, size)
		s.discard(n)
	}
}

// take puts a segment where it is read: with the others, or before them when an
// older version left it.
func (s *Spool) take(seg *segment) {
	if slices.ContainsFunc(s.committed.Left, func(l Left) bool { return l.Segment == seg.number }) {
		s.old[seg.number] = seg
		return
	}
	s.segments = append(s.segments, seg)
}

// leave notes a segment that only a newer version can read.
func (s *Spool) leave(n uint64, size int64) {
	s.newerBytes += size
	p := &s.committed
	known := slices.ContainsFunc(p.Left, func(l Left) bool { return l.Segment == n })
	if known || n < p.Segment {
		return
	}
	l := Left{Segment: n}
	if n == p.Segment {
		l.Offset, l.Row = p.Offset, p.Row
		p.Row = 0
	}
	p.Left = append(p.Left, l)
	s.skipped = true
	s.cfg.Log.Warn("a segment was written by a newer version, it is left for that", "file", segmentName(n))
}

// discard removes a segment that holds no frames.
func (s *Spool) discard(n uint64) {
	if err := s.removeFile(n); err != nil {
		s.cfg.Log.Warn("a segment that is not needed stays", "error", err)
	}
}
