package spool

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// noSpace marks what a full disk said.
func noSpace(err error) error {
	if diskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// SetLimits changes MaxBytes, MinFree and WhenFull of the Config, with the same
// meaning. It takes effect with the next call, and waits for one that is being
// written.
func (s *Spool) SetLimits(maxBytes, minFree int64, when WhenFull) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	s.cfg.MaxBytes, s.cfg.MinFree, s.cfg.WhenFull = maxBytes, minFree, when
	s.cfg.SegmentBytes = min(s.cfg.SegmentBytes, max(maxBytes/8, 4<<10))
	s.writer.sinceCheck = checkEvery // look at the disk again
}

// fixedBytes is what ledger, identity and position take.
const fixedBytes = 2*ledgerBytes + 4*4<<10

// room makes sure that size more bytes fit the limits, and drops the oldest
// segments for them if that is the policy.
func (s *Spool) room(size int64) error {
	lack, low := s.lack(size)
	if lack <= 0 {
		return nil
	}
	if s.cfg.WhenFull == DropOldest && s.fits(size) && s.dropOldest(lack) > 0 {
		return nil
	}
	if low {
		return fmt.Errorf("%w: the disk has less left than min_free, %d bytes", ErrFull, s.minFree(0))
	}
	return fmt.Errorf("%w: %d bytes are on disk, max_bytes is %d", ErrFull, s.bytesOnDisk(), s.cfg.MaxBytes)
}

// fits tells whether size bytes fit an empty spool.
func (s *Spool) fits(size int64) bool {
	others := s.cfg.Others()
	s.mu.Lock()
	defer s.mu.Unlock()
	return fixedBytes+s.aside+others+segmentHeader+size <= s.cfg.MaxBytes
}

// lack is how many bytes must go before size more fit, and whether that is the
// disk's lack rather than our limit's.
func (s *Spool) lack(size int64) (lack int64, low bool) {
	if w := &s.writer; w.file == nil || w.seg.size+size > s.cfg.SegmentBytes {
		size += segmentHeader
	}
	lack = s.bytesOnDisk() + size - s.cfg.MaxBytes
	if onDisk := s.diskLack(size); onDisk > 0 && onDisk >= lack {
		return onDisk, true
	}
	return lack, false
}

// checkEvery is how much is written between two looks at the disk.
const checkEvery = 4 << 20

// diskLack is how many bytes the disk lacks to take size more and keep MinFree.
func (s *Spool) diskLack(size int64) int64 {
	w := &s.writer
	if s.cfg.MinFree < 0 || w.file != nil && w.sinceCheck+size < checkEvery {
		return 0
	}
	free, total, err := s.files.space()
	if err != nil {
		return 0 // what it can take is for the write to find out
	}
	lack := s.minFree(total) + size - int64(min(free, 1<<62))
	w.sinceCheck = 0
	if lack > 0 {
		w.sinceCheck = checkEvery // look again each time
	}
	return lack
}

func (s *Spool) minFree(total uint64) int64 {
	if s.cfg.MinFree != 0 {
		return s.cfg.MinFree
	}
	return max(minFreeFloor, int64(min(total, 1<<62)/minFreeShare))
}

// bytesOnDisk is what counts against MaxBytes.
func (s *Spool) bytesOnDisk() int64 {
	others := s.cfg.Others()
	s.mu.Lock()
	defer s.mu.Unlock()
	return fixedBytes + s.aside + others + s.segmentBytes()
}

// segmentBytes is entered with mu held.
func (s *Spool) segmentBytes() (total int64) {
	for _, seg := range s.segments {
		total += seg.size
	}
	for _, seg := range s.old {
		total += seg.size
	}
	return total + s.newerBytes
}

// blockPoll bounds a wait for room: not only Commit makes some.
const blockPoll = 250 * time.Millisecond

// waitForRoom waits until there may be room; false when the episode's patience is
// used up. The disk is free for others meanwhile, and all is synced so that the
// reader can go on.
func (s *Spool) waitForRoom() bool {
	left := s.cfg.BlockFor - s.episode
	if left <= 0 || s.syncUnsynced() != nil {
		return false
	}
	s.mu.Lock()
	freed := s.freed
	s.mu.Unlock()
	start := time.Now()
	timer := time.NewTimer(min(left, blockPoll))
	defer timer.Stop()
	s.disk.Unlock()
	select {
	case <-freed:
	case <-timer.C:
	case <-s.closing:
	}
	s.disk.Lock()
	took := time.Since(start)
	s.episode += took
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocked += took
	return !s.closed
}

// dropOldest removes oldest segments that nobody reads until need bytes are
// free, and returns how many are. When all of them would not be enough it
// removes none: what is old is then worth more than what is new.
func (s *Spool) dropOldest(need int64) (freed int64) {
	victims := s.victims(need)
	for i, seg := range victims {
		s.tally(seg, s.firstAfter(seg))
		if seg == s.writer.seg && s.writer.file != nil {
			_ = s.writer.file.Close()
			s.writer.file = nil
		}
		s.noteDropped(victims[i])
	}
	if len(victims) == 0 {
		return 0
	}
	_ = s.flushLedger() // told, and tried again; before the files go
	for _, seg := range victims {
		if err := s.removeFile(seg.number); err != nil {
			s.cfg.Log.Error("a dropped segment cannot be removed", "error", err)
			continue
		}
		freed += seg.size
	}
	return freed
}

// victims are the segments to drop, marked so that no reader enters them.
func (s *Spool) victims(need int64) (victims []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := int64(0)
	for _, seg := range s.segments {
		if free >= need {
			break
		}
		if s.reader.inFlight(seg.number) || seg.size == segmentHeader && seg == s.writer.seg {
			continue
		}
		victims = append(victims, seg)
		free += seg.size
	}
	if free < need {
		return nil
	}
	for _, seg := range victims {
		seg.doomed = true
	}
	return victims
}

// noteDropped takes a segment out of the spool and into the ledger.
func (s *Spool) noteDropped(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := uint64(0)
	for _, t := range seg.tallies {
		calls += t.calls
		l := Loss{
			Reason: DroppedOldest, Agent: seg.agent, Run: seg.run, Stream: t.stream,
			From: t.first, To: t.last, Calls: t.calls, Bytes: t.bytes,
		}
		s.lose(entry{Loss: l, Spans: joined(t.spans), segment: seg.number}, func(last *entry) bool { return s.noneBetween(last.segment, seg.number) })
	}
	s.ledger.dropped = append(s.ledger.dropped, seg.number)
	s.ledger.dirty = true
	for i := range s.segments {
		if s.segments[i] == seg {
			s.segments = append(s.segments[:i:i], s.segments[i+1:]...)
			break
		}
	}
	s.cfg.Log.Warn("spool full, oldest calls dropped", "segment", seg.number, "calls", calls, "bytes", seg.size)
}

// noneBetween tells whether no segment is left between two that were dropped.
func (s *Spool) noneBetween(first, second uint64) bool {
	for _, seg := range s.segments {
		if first < seg.number && seg.number < second {
			return false
		}
	}
	return first > 0
}
