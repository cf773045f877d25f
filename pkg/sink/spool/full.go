package spool

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Reason says why something is not in the spool any more, or never was.
type Reason string

// The reasons of a Drop.
const (
	DroppedOldest Reason = "drop_oldest" // removed unread to make room
	DroppedNewest Reason = "drop_newest" // not taken, for want of room
	Unwritable    Reason = "unwritable"  // the disk refused
	Damaged       Reason = "damaged"     // on disk, but not as it was written
)

// Drop is a range of calls that were lost to a policy or to the disk.
type Drop struct {
	Reason Reason
	// Segment holds or held them; 0 where none did.
	Segment uint64
	// From and To are their seqs, 0 where the damage hid them.
	From, To uint64
	Bytes    int64
}

// maxDrops is how many ranges are remembered one by one; their counts go on.
const maxDrops = 1024

// Drops is what was lost since the spool was opened.
type Drops struct {
	// Ranges are the first 1024.
	Ranges []Drop
	// Bytes counts all by reason.
	Bytes map[Reason]int64
}

func (d *Drops) note(drop Drop) {
	if d.Bytes == nil {
		d.Bytes = map[Reason]int64{}
	}
	d.Bytes[drop.Reason] += drop.Bytes
	if len(d.Ranges) < maxDrops {
		d.Ranges = append(d.Ranges, drop)
	}
}

// errNoSpace marks what a full disk said.
var errNoSpace = errors.New("no space")

func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", errNoSpace, err)
	}
	return err
}

func reasonOf(err error) Reason {
	if errors.Is(err, ErrFull) {
		return DroppedNewest
	}
	return Unwritable
}

// makeRoom drops oldest segments until size more bytes fit the limits. What is
// being read is never dropped: then there is no room.
func (s *Spool) makeRoom(size int64) error {
	low, err := s.diskLow(size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for low || s.bytes()+size > s.cfg.MaxBytes {
		dropped, err := s.dropOldest()
		if err != nil {
			return err
		}
		if !dropped {
			return fmt.Errorf("%w: %d bytes are spooled, max_bytes is %d, and all of them are being sent", ErrFull, s.bytes(), s.cfg.MaxBytes)
		}
		if low, err = s.diskLow(size); err != nil {
			return err
		}
	}
	return nil
}

// checkEvery is how much is written between two looks at the disk.
const checkEvery = 4 << 20

// diskLow tells whether writing size bytes would leave less than MinFree.
func (s *Spool) diskLow(size int64) (bool, error) {
	if s.cfg.MinFree < 0 {
		return false, nil
	}
	w := &s.writer
	if w.file != nil && w.sinceCheck+size < checkEvery {
		return false, nil
	}
	free, err := s.files.free()
	if err != nil {
		return false, err
	}
	low := free < uint64(s.cfg.MinFree)+uint64(size)
	if !low {
		w.sinceCheck = 0
	}
	return low, nil
}

func (s *Spool) bytes() (total int64) {
	for _, seg := range s.segments {
		total += seg.end
	}
	return total
}

// dropOldest removes the oldest segment that nobody reads and nobody writes.
func (s *Spool) dropOldest() (bool, error) {
	for i, seg := range s.segments {
		if seg == s.writer.seg && s.writer.file != nil || s.reader.inFlight(seg.number) {
			continue
		}
		drop := Drop{Reason: DroppedOldest, Segment: seg.number, From: seg.first, Bytes: seg.end}
		if i+1 < len(s.segments) && s.segments[i+1].first > 0 {
			drop.To = s.segments[i+1].first - 1
		}
		if err := s.files.remove(segmentName(seg.number)); err != nil {
			return false, fmt.Errorf("drop the oldest segment: %w", err)
		}
		s.segments = append(s.segments[:i:i], s.segments[i+1:]...)
		s.drops.note(drop)
		s.cfg.Log.Warn("spool full, oldest calls dropped", "segment", seg.number, "from", drop.From, "to", drop.To, "bytes", drop.Bytes)
		return true, nil
	}
	return false, nil
}

// Stats is what a spool holds and has lost.
type Stats struct {
	// Bytes are those of all segments, Calls the calls not yet committed.
	Bytes int64
	Calls uint64
	// Oldest is when the oldest call that was handed out or waits was spooled;
	// zero when that is not known yet.
	Oldest time.Time
	Drops  Drops
}

// Stats may be called from any goroutine.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	drops := s.drops
	drops.Ranges = append([]Drop(nil), drops.Ranges...)
	bytes := map[Reason]int64{}
	for reason, n := range drops.Bytes {
		bytes[reason] = n
	}
	drops.Bytes = bytes
	done := s.committed.Seq
	return Stats{Bytes: s.bytes(), Calls: s.nextSeq - 1 - min(done, s.nextSeq-1), Oldest: s.reader.oldest, Drops: drops}
}
