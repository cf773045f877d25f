package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// load finds the segments, the read position, what was lost and the next seq,
// and makes the new run durable.
func (s *Spool) load(ctx context.Context) error {
	created, before, err := s.identify()
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	s.clean = created || before.Closed != nil
	if err := s.loadLedger(); err != nil {
		return err
	}
	if err := s.loadPosition(created); err != nil {
		return err
	}
	if err := s.loadSegments(); err != nil {
		return err
	}
	if err := s.findNextSeq(ctx, before); err != nil {
		return err
	}
	s.resolveHeld()
	if err := s.writeLedger(s.ledger.slots.writeBoth); err != nil {
		s.cfg.Log.Warn("the ledger of losses is kept in memory", "error", err)
	}
	s.identity.First = s.nextSeq
	if err := s.identities.writeBoth(s.identity); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	s.beginReading()
	return nil
}

func (s *Spool) loadLedger() error {
	var v ledgerValue
	found, damaged, err := s.ledger.slots.read(&v)
	if err != nil {
		return fmt.Errorf("ledger of losses: %w", err)
	}
	if damaged {
		s.cfg.Log.Error("the ledger of losses is damaged, what it named is told as damaged", "found_older", found)
	}
	s.ledger.losses, s.ledger.dropped = v.Losses, v.Dropped
	s.ledger.dirty = !found || damaged || !s.ledger.slots.whole()
	return nil
}

// loadPosition reads the committed position. A new spool writes one, so that none
// found later means that it was lost.
func (s *Spool) loadPosition(created bool) error {
	found, damaged, err := s.positions.read(&s.committed)
	if err != nil {
		return fmt.Errorf("read position: %w", err)
	}
	if s.known = found; found {
		return nil
	}
	numbers, err := s.files.segments()
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	if created && !damaged && len(numbers) == 0 {
		s.known, s.committed = true, Position{Agent: s.identity.Agent}
		return s.positions.writeBoth(s.committed)
	}
	s.cfg.Log.Error("the spool's read position is lost, all that is spooled is sent again", "dir", s.cfg.Dir)
	return nil
}

func (s *Spool) loadSegments() error {
	if err := s.findAside(); err != nil {
		return err
	}
	numbers, err := s.files.segments()
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	left := s.committed.Left
	for _, n := range numbers {
		s.writer.number = max(s.writer.number, n)
		was := slices.ContainsFunc(left, func(l Left) bool { return l.Segment == n })
		switch {
		case slices.Contains(s.ledger.dropped, n):
			s.discard(n) // a power cut brought it back
		case n < s.committed.Segment && !was && !s.newer(n):
			s.discard(n) // read to its end
		default:
			s.addSegment(n)
		}
	}
	s.writer.number = max(s.writer.number, s.committed.Segment)
	return s.forgetDropped()
}

// forgetDropped makes the removal of dropped segments durable. Their numbers are
// not given again before.
func (s *Spool) forgetDropped() error {
	if len(s.ledger.dropped) == 0 {
		return nil
	}
	s.writer.number = max(s.writer.number, slices.Max(s.ledger.dropped))
	if err := s.files.syncDir(); err != nil {
		return err
	}
	s.ledger.dropped, s.ledger.dirty = nil, true
	return nil
}

func (s *Spool) newer(n uint64) bool {
	b, err := s.files.readFile(segmentName(n), segmentHeader)
	if _, ok := parseSegmentHeader(b); err != nil || ok {
		return false
	}
	return newerSegment(b) || newerSegment(b[min(headerBlock, len(b)):])
}

// findNextSeq makes sure that no seq is given twice by one agent, as far as what
// is left tells.
func (s *Spool) findNextSeq(ctx context.Context, before identity) error {
	last, err := s.lastSeq(ctx, before.Agent)
	if err != nil {
		return err
	}
	last = max(last, s.ledger.losses.last(before.Agent))
	if s.committed.Agent == before.Agent {
		last = max(last, s.committed.Seq)
	}
	promised := max(before.First, 1) - 1
	if before.Closed != nil {
		promised = max(promised, *before.Closed)
	}
	if before.Agent == s.identity.Agent {
		s.nextSeq = max(last, promised) + 1
		return nil
	}
	if last < promised {
		// The agent ends here, so that no later frame of its shows what is missing.
		l := Loss{Reason: Damaged, Agent: before.Agent, Run: before.Run, From: last + 1, To: promised, Calls: promised - last}
		s.lose(entry{Loss: l}, func(*entry) bool { return false })
	}
	s.nextSeq = 1
	return nil
}

// lastSeq reads the newest segments until one tells an agent's last seq.
func (s *Spool) lastSeq(ctx context.Context, agent string) (last uint64, err error) {
	for _, seg := range slices.Backward(s.segments) {
		if seg.agent != agent {
			break
		}
		err := s.scan(seg, func(f *Frame) bool {
			last = max(last, f.Seq)
			if f.Spooled.After(s.lastSpooled) {
				s.lastSpooled = f.Spooled
			}
			return ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil || last > 0 {
			return last, err
		}
	}
	return 0, nil
}

// resolveHeld settles what was in memory when the process before ended: what was
// written after all is not lost.
func (s *Spool) resolveHeld() {
	for i := range s.ledger.losses {
		e := &s.ledger.losses[i]
		if !e.Held {
			continue
		}
		e.Held, s.ledger.dirty = false, true
		for _, seg := range slices.Backward(s.segments) {
			if seg.agent == e.Agent && seg.run == e.Run && s.foundIn(seg, e) {
				break
			}
		}
	}
	s.ledger.losses = slices.DeleteFunc(s.ledger.losses, func(e entry) bool { return e.Calls == 0 })
}

// foundIn takes out of a loss what a segment holds of it; begun tells that no
// older segment can hold more.
func (s *Spool) foundIn(seg *segment, e *entry) (begun bool) {
	from := e.From
	err := s.scan(seg, func(f *Frame) bool {
		begun = begun || f.Seq < from
		if f.Seq >= e.From && f.Seq <= e.To && (e.Stream == "" || f.Stream == e.Stream) {
			e.begin(f.Seq + 1)
			e.Calls -= min(e.Calls, 1)
			e.Bytes -= min(e.Bytes, int64(len(f.Payload)))
		}
		return true
	})
	if err != nil {
		s.cfg.Log.Error("a segment cannot be read", "segment", seg.number, "error", err)
	}
	return begun
}
