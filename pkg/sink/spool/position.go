package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Position is how far a spool was read and delivered.
type Position struct {
	// Segment and Offset are where the next frame to read begins.
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
	// Agent, Run and Seq name the last frame that is wholly delivered.
	Agent string `json:"agent,omitempty"`
	Run   string `json:"run,omitempty"`
	Seq   uint64 `json:"seq"`
	// Row is the first row of the next frame that is not delivered.
	Row int `json:"row"`
	// Prev is, for each topic, the call last sent to it: "run/seq".
	Prev map[string]string `json:"prev,omitempty"`
	// Left are segments before this position that an older version could not read
	// and left for a newer one, which reads them first.
	Left []Left `json:"left,omitempty"`
}

// Left is where reading of a segment that was left begins.
type Left struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
	Row     int    `json:"row"`
}

func positionSlots(files *fileSystem) slots {
	return slots{files: files, name: "position", known: []string{"segment", "offset", "agent", "run", "seq", "row", "prev", "left"}}
}

// Before is the position at the frame's row: all before it is delivered, and
// with the first row so is what is Missing before the frame.
func (f *Frame) Before(row int, prev map[string]string) Position {
	if f.main != nil {
		return f.among(Left{f.place.segment, f.place.start, row}, prev)
	}
	p := Position{Segment: f.place.segment, Offset: f.place.start, Agent: f.Agent, Run: f.Run, Seq: f.Seq - 1, Row: row, Prev: prev, Left: f.rest}
	if row == 0 {
		p.Agent, p.Run, p.Seq = f.prior.agent, f.prior.run, f.prior.seq
	}
	return p
}

// After is the position behind the frame.
func (f *Frame) After(prev map[string]string) Position {
	if f.main != nil {
		return f.among(Left{f.place.segment, f.place.end, 0}, prev)
	}
	return Position{Segment: f.place.segment, Offset: f.place.end, Agent: f.Agent, Run: f.Run, Seq: f.Seq, Prev: prev, Left: f.rest}
}

// among is a position in a segment that was left.
func (f *Frame) among(l Left, prev map[string]string) Position {
	p := *f.main
	p.Prev, p.Left = prev, f.rest
	if !f.place.last || l.Offset < f.place.end {
		p.Left = append([]Left{l}, f.rest...)
	}
	return p
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
	s.beginReading()
	return err
}

// Commit makes the position durable: after a restart, reading begins there.
// Segments wholly before it are removed. It is for the goroutine that calls Next.
func (s *Spool) Commit(p Position) error {
	write := s.positions.write
	if p.Segment != s.committed.Segment || len(p.Left) != len(s.committed.Left) {
		// Neither slot may point to what is removed now.
		write = s.positions.writeBoth
	}
	if err := write(p); err != nil {
		return fmt.Errorf("spool: commit: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told, s.committed = s.committed, p
	s.reader.held = p.Segment
	return s.removeRead()
}

// removeRead removes the segments that were read to their end, but for the last
// one, whose frames say where the numbering goes on.
func (s *Spool) removeRead() error {
	removed := false
	for len(s.segments) > 1 && s.segments[0].number < s.committed.Segment {
		if err := s.removeFile(s.segments[0].number); err != nil {
			return err
		}
		s.segments = s.segments[1:]
		removed = true
	}
	for n := range s.old {
		if !slices.ContainsFunc(s.committed.Left, func(l Left) bool { return l.Segment == n }) {
			if err := s.removeFile(n); err != nil {
				return err
			}
			delete(s.old, n)
			removed = true
		}
	}
	if removed {
		close(s.freed)
		s.freed = make(chan struct{})
	}
	return nil
}

func (s *Spool) removeFile(segment uint64) error {
	name := segmentName(segment)
	if err := s.files.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: remove %s: %w", name, err)
	}
	return nil
}
