package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// scanner finds the frames of one segment, and past damage the next that checks.
type scanner struct {
	file file
	from *header
	// at is where the next frame should begin, end where durable bytes end.
	at, end int64
	// window holds bytes of the file from base on.
	window []byte
	base   int64
	// damaged is told of each range that holds no frame.
	damaged func(from, to int64)
}

// forgetGiant lets go of what a very large call was read into: the next may be
// hours away.
func (s *scanner) forgetGiant() {
	if cap(s.window) > 1<<20 {
		s.window, s.base = nil, 0
	}
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
	f, ok = decode(b, s.from)
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
