package spool

import (
	"maps"
	"time"
)

// Lost is how much was lost.
type Lost struct {
	Calls uint64
	Bytes int64
}

// Syncs is what syncing segments took.
type Syncs struct {
	Count       uint64
	Last, Total time.Duration
}

// Stats is what a spool holds and has lost.
type Stats struct {
	// Bytes are those of all segments, OnDisk all that counts against MaxBytes.
	Bytes, OnDisk int64
	// Calls are those accepted and not committed, WaitingBytes what the segments
	// hold of them.
	Calls        uint64
	WaitingBytes int64
	// Oldest is when the oldest call that is not committed was spooled; zero when
	// none waits.
	Oldest time.Time
	// HeldCalls and HeldBytes are what is kept in memory since UnwritableSince,
	// because of Unwritable.
	HeldCalls       int
	HeldBytes       int64
	UnwritableSince time.Time
	Unwritable      error
	// Lost counts by reason since the spool was opened.
	Lost  map[Reason]Lost
	Syncs Syncs
	// Blocked is how long Append waited for room.
	Blocked time.Duration
}

// Stats may be called from any goroutine. It reads one frame's header at most.
func (s *Spool) Stats() Stats {
	others := s.cfg.Others()
	s.mu.Lock()
	st := Stats{
		Bytes: s.segmentBytes(), Calls: s.waitingCalls(), HeldCalls: len(s.held.calls), HeldBytes: s.held.bytes,
		UnwritableSince: s.unwritable.since, Unwritable: s.unwritable.err,
		Lost: maps.Clone(s.lost), Syncs: s.syncs, Blocked: s.blocked,
	}
	st.OnDisk = fixedBytes + s.aside + others + st.Bytes
	waiting := s.waiting()
	var held time.Time
	if len(s.held.calls) > 0 {
		held = s.held.calls[0].time
	}
	s.mu.Unlock()
	for _, p := range waiting {
		st.WaitingBytes += p.end - p.start
	}
	if st.Oldest = s.oldest(waiting); st.Oldest.IsZero() {
		st.Oldest = held
	}
	return st
}

func (s *Spool) waitingCalls() uint64 {
	done := uint64(0)
	if s.committed.Agent == s.identity.Agent {
		done = s.committed.Seq
	}
	calls := s.nextSeq - 1 - min(done, s.nextSeq-1)
	for i := range s.ledger.losses {
		if l := &s.ledger.losses[i]; l.Agent == s.identity.Agent && l.To > done {
			calls -= min(calls, l.Calls)
		}
	}
	return calls
}

// waiting are the ranges of segments that are not committed, oldest first. It is
// entered with mu held.
func (s *Spool) waiting() (all []place) {
	for _, l := range s.committed.Left {
		if seg := s.old[l.Segment]; seg != nil {
			all = append(all, place{segment: l.Segment, start: max(l.Offset, segmentHeader), end: seg.end})
		}
	}
	for _, seg := range s.segments {
		start := int64(segmentHeader)
		if seg.number == s.committed.Segment {
			start = max(start, s.committed.Offset)
		}
		if seg.number >= s.committed.Segment && start < seg.size {
			all = append(all, place{segment: seg.number, start: start, end: seg.size})
		}
	}
	return all
}

// oldest reads when the first waiting call was spooled.
func (s *Spool) oldest(waiting []place) time.Time {
	for _, p := range waiting {
		if at, ok := s.spooledAt(p); ok {
			return at
		}
	}
	return time.Time{}
}

func (s *Spool) spooledAt(p place) (at time.Time, ok bool) {
	f, err := s.files.open(segmentName(p.segment))
	if err != nil {
		return time.Time{}, false
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, frameHeader)
	if n, _ := f.ReadAt(b, p.start); n < frameHeader {
		return time.Time{}, false
	}
	h, ok := parseHead(b)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(0, h.spooledNanos).UTC(), true
}

// count adds a loss up. It is entered with mu held.
func (s *Spool) count(l Loss) {
	sum := s.lost[l.Reason]
	s.lost[l.Reason] = Lost{sum.Calls + l.Calls, sum.Bytes + l.Bytes}
}
