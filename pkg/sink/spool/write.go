package spool

import (
	"errors"
	"fmt"
	"time"
)

// writer is the segment being written. The disk lock guards it.
type writer struct {
	number uint64 // of the newest segment there ever was
	file   file   // nil when the next call begins a segment
	seg    *segment
	// sinceCheck is what was written since free space was last asked for.
	sinceCheck int64
	synced     time.Time // when the last sync was
	buffer     []byte
}

// store writes calls, and when that fails once more in a new segment: a file
// whose sync failed may have lost what it was told, and a second sync would say
// that all is well.
func (s *Spool) store(calls []pending, size int64) error {
	if err := s.writeHeld(); err != nil { // accepted before
		return err
	}
	err := s.try(calls, size)
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	s.cfg.Log.Error("spool file given up, the calls go to a new one", "error", err)
	if err := s.writeHeld(); err != nil {
		return err
	}
	return s.try(calls, size)
}

// try writes calls behind what the segment holds and syncs them when that is due.
func (s *Spool) try(calls []pending, size int64) error {
	if err := s.segmentFor(size); err != nil {
		return err
	}
	w := &s.writer
	end, err := w.put(calls, w.seg.size, s.run)
	if err != nil {
		return s.failed(fmt.Errorf("segment %s: %w", segmentName(w.number), noSpace(err)))
	}
	w.sinceCheck += size
	due := s.cfg.SyncEvery <= 0 || s.cfg.Now().Sub(w.synced) >= s.cfg.SyncEvery
	if due {
		if err := s.syncFile(); err != nil {
			s.giveUp()
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.seg.count(calls)
	w.seg.size = end
	s.accepted(calls)
	if due {
		s.durable()
	}
	return nil
}

// syncFile syncs the open segment.
func (s *Spool) syncFile() error {
	w := &s.writer
	start := time.Now()
	err := w.file.Sync()
	took := time.Since(start)
	w.synced = s.cfg.Now()
	s.mu.Lock()
	s.syncs.Count, s.syncs.Last, s.syncs.Total = s.syncs.Count+1, took, s.syncs.Total+took
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("sync segment %s: %w", segmentName(w.number), noSpace(err))
	}
	return nil
}

// durable hands what was synced to the reader. It is entered with mu held.
func (s *Spool) durable() {
	s.writer.seg.end = s.writer.seg.size
	close(s.more)
	s.more = make(chan struct{})
}

// failed decides what becomes of the segment after a write that failed. One that
// found no room leaves the file good once it is cut back.
func (s *Spool) failed(err error) error {
	w := &s.writer
	if errors.Is(err, ErrFull) && w.file.Truncate(w.seg.size) == nil {
		return err
	}
	s.giveUp()
	return err
}

// giveUp ends the segment where it is durable. What is behind was promised to
// nobody, or with SyncEvery is read back to be written anew; should cutting
// fail, readers know it by its name.
func (s *Spool) giveUp() {
	w := &s.writer
	lifted := s.lift()
	_ = w.file.Truncate(w.seg.end)
	if err := w.file.Close(); err != nil {
		s.cfg.Log.Warn("closing a segment that was given up", "error", err)
	}
	w.file = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	w.seg.size = w.seg.end
	if len(lifted) > 0 {
		w.seg.counted, w.seg.tallies = false, nil
		s.held.putBack(lifted)
	}
}

// lift reads the calls back that were written and not synced.
func (s *Spool) lift() (calls []pending) {
	w := &s.writer
	scan := scanner{file: w.file, from: &w.seg.header, at: w.seg.end, end: w.seg.size}
	for w.seg.size > w.seg.end {
		f, ok, err := scan.next()
		if err != nil || !ok {
			break
		}
		calls = append(calls, pending{call: f.clone(), seq: f.Seq, time: f.Spooled})
	}
	return calls
}

// maxGather is how much of a group is copied together, so that small calls cost
// one write; a larger payload is written from where it lies.
const maxGather = 256 << 10

// put writes the calls' frames at offset and returns where they end.
func (w *writer) put(calls []pending, offset int64, run uint64) (end int64, err error) {
	w.buffer = w.buffer[:0]
	flush := func(b []byte) {
		if err == nil && len(b) > 0 {
			_, err = w.file.WriteAt(b, offset)
			offset += int64(len(b))
		}
	}
	for i := range calls {
		p := &calls[i]
		w.buffer = appendFrameHeader(w.buffer, w.seg.salt, &p.call, run, p.seq, p.time)
		if len(w.buffer)+len(p.call.Payload) <= maxGather {
			w.buffer = append(w.buffer, p.call.Payload...)
			continue
		}
		flush(w.buffer)
		flush(p.call.Payload)
		w.buffer = w.buffer[:0]
	}
	flush(w.buffer)
	return offset, err //nolint:wrapcheck // the caller names the segment
}

// segmentFor makes sure that a segment is open, and a new one when the frames
// would make it too long.
func (s *Spool) segmentFor(size int64) error {
	w := &s.writer
	if w.file != nil && (w.seg.size+size <= s.cfg.SegmentBytes || w.seg.size == segmentHeader) {
		return nil
	}
	if err := s.endSegment(); err != nil {
		return err
	}
	return s.newSegment()
}

// endSegment syncs what is not and closes the segment.
func (s *Spool) endSegment() error {
	if err := s.syncUnsynced(); err != nil {
		return err
	}
	w := &s.writer
	if w.file == nil {
		return nil
	}
	if err := w.file.Close(); err != nil {
		s.cfg.Log.Warn("closing a full segment", "error", err)
	}
	w.file = nil
	return nil
}

// syncUnsynced makes durable what was written and not synced.
func (s *Spool) syncUnsynced() error {
	w := &s.writer
	if w.file == nil || w.seg.size == w.seg.end {
		return nil
	}
	if err := s.syncFile(); err != nil {
		s.giveUp()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable()
	return nil
}

// newSegment makes the next segment; its name is durable before a frame is
// promised to be in it.
func (s *Spool) newSegment() error {
	w := &s.writer
	n := w.number + 1
	name := segmentName(n)
	f, err := s.files.create(name)
	if err != nil {
		return fmt.Errorf("new segment: %w", noSpace(err))
	}
	w.number = n
	b, h := newSegmentHeader(s.identity.Agent, s.run, randomUint64())
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.files.syncDir()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("new segment %s: %w", name, noSpace(err)), f.Close(), s.files.remove(name))
	}
	w.file = f
	w.seg = &segment{header: h, number: n, size: segmentHeader, end: segmentHeader, counted: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, w.seg)
	s.ledger.dropped = nil // their names are gone for good
	return nil
}
