package spool

import (
	"errors"
	"fmt"
	"io/fs"
)

// Position is how far a spool was read and delivered.
type Position struct {
	// Segment and Offset are where the next frame to read begins.
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
	// Agent and Seq name the last frame that is wholly delivered.
	Agent string `json:"agent,omitempty"`
	Seq   uint64 `json:"seq"`
	// Row is the first row of the next frame that is not delivered.
	Row int `json:"row"`
	// Prev is, for each topic, the call last sent to it: "run/seq".
	Prev map[string]string `json:"prev,omitempty"`
}

// Before is the position at the frame's row: all before it is delivered.
func (f *Frame) Before(row int, prev map[string]string) Position {
	return Position{Segment: f.place.segment, Offset: f.place.start, Agent: f.Agent, Seq: f.Seq - 1, Row: row, Prev: prev}
}

// After is the position behind the frame.
func (f *Frame) After(prev map[string]string) Position {
	return Position{Segment: f.place.segment, Offset: f.place.end, Agent: f.Agent, Seq: f.Seq, Prev: prev}
}

// Committed is the position that was committed last, in this opening or before.
func (s *Spool) Committed() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// Rewind makes Next begin at the committed position again. It is for the
// goroutine that calls Next.
func (s *Spool) Rewind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reader.close()
	s.reader.begin(s.committed, s.segments)
	return err
}

// Commit makes the position durable: after a restart, reading begins there.
// Segments wholly before it are removed.
func (s *Spool) Commit(p Position) error {
	if err := s.positions.write(p); err != nil {
		return fmt.Errorf("spool: commit: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = p
	s.reader.held = p.Segment
	for len(s.segments) > 1 && s.segments[0].number < p.Segment {
		if err := s.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) removeOldest() error {
	name := segmentName(s.segments[0].number)
	if err := s.files.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: remove %s: %w", name, err)
	}
	s.segments = s.segments[1:]
	return nil
}
