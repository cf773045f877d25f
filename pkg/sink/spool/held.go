package spool

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// held are calls that wait in memory for a disk that can be written, in order.
// The spool's mu guards it; only who has the disk lock changes it.
type held struct {
	calls []pending
	bytes int64
}

func (h *held) put(p pending) {
	h.calls = append(h.calls, p)
	h.bytes += frameSize(&p.call)
}

// putBack puts calls before the others: they were accepted before.
func (h *held) putBack(calls []pending) {
	h.calls = append(calls, h.calls...)
	h.bytes += sizeOf(calls)
}

// take removes the first n calls.
func (h *held) take(n int) {
	h.bytes -= sizeOf(h.calls[:n])
	h.calls = slices.Delete(h.calls, 0, n)
}

// losses are what would be lost if the process ended now.
func (h *held) losses(agent, run string) (all losses) {
	for i := range h.calls {
		p := &h.calls[i]
		l := Loss{
			Reason: Unwritable, Agent: agent, Run: run, Stream: p.call.Stream,
			From: p.seq, To: p.seq, Calls: 1, Bytes: int64(len(p.call.Payload)),
		}
		all = all.add(entry{Loss: l}, func(*entry) bool { return true })
	}
	for i := range all {
		all[i].Held = true
	}
	return all
}

// unwritable is since when the disk refuses to be written, and why.
type unwritable struct {
	since, tried time.Time
	err          error
}

// RecoverEvery is the pause between two attempts to write to a disk that refused.
const RecoverEvery = 5 * time.Second

// writable tells whether calls can go to the disk, and when they could not tries
// again from time to time.
func (s *Spool) writable() bool {
	if s.unwritable.since.IsZero() {
		return true
	}
	return s.cfg.Now().Sub(s.unwritable.tried) >= RecoverEvery && s.recover() == nil
}

// hold keeps calls in memory as far as HeldBytes go; those beyond are lost.
func (s *Spool) hold(calls []pending, why error) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unwritable.since.IsZero() {
		s.unwritable = unwritable{since: now, tried: now}
		s.cfg.Log.Error("the spool cannot be written, calls are kept in memory", "held_bytes", s.cfg.HeldBytes, "error", why)
	}
	s.unwritable.err = why
	s.ledger.dirty = true
	for i := range calls {
		p := &calls[i]
		if s.held.bytes+frameSize(&p.call) > s.cfg.HeldBytes {
			p.err = fmt.Errorf("spool: unwritable, and %d bytes are held in memory: %w", s.held.bytes, why)
			s.loseRange(Unwritable, p.call.Stream, p.seq, 1, int64(len(p.call.Payload)))
			continue
		}
		kept := *p
		kept.call.Payload = bytes.Clone(p.call.Payload)
		s.held.put(kept)
		s.accepted(calls[i : i+1])
	}
}

// Recover writes what is held in memory, before anything newer, when the disk
// can be written again. The owner calls it every RecoverEvery; while all is well
// it does nothing.
func (s *Spool) Recover() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.isClosed() || s.unwritable.since.IsZero() && !s.ledger.failing {
		return nil
	}
	err := s.recover()
	return errors.Join(err, s.flushLedger())
}

// recover is Recover with the disk lock.
func (s *Spool) recover() error {
	s.unwritable.tried = s.cfg.Now()
	if s.unwritable.since.IsZero() {
		return nil
	}
	err := s.segmentFor(0)
	if err == nil {
		err = s.writeHeld()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.unwritable.err = err
		return err
	}
	s.cfg.Log.Info("the spool can be written again, nothing is held any more", "after", s.cfg.Now().Sub(s.unwritable.since))
	s.unwritable = unwritable{}
	return nil
}

// writeHeld writes what is held and syncs it, a segment's worth at a time.
func (s *Spool) writeHeld() error {
	for len(s.held.calls) > 0 {
		calls := s.held.calls
		n, size := 0, int64(0)
		for n < len(calls) && (n == 0 || size+frameSize(&calls[n].call) <= s.cfg.SegmentBytes) {
			size += frameSize(&calls[n].call)
			n++
		}
		if err := s.room(size); err != nil {
			return err
		}
		if err := s.try(calls[:n:n], size); err != nil {
			return err
		}
		if err := s.syncUnsynced(); err != nil {
			return err
		}
		s.mu.Lock()
		s.held.take(n)
		s.ledger.dirty = true
		s.mu.Unlock()
	}
	return nil
}

// Sync makes durable what was written since the last sync. The owner calls it
// every SyncEvery when that is not 0.
func (s *Spool) Sync() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.isClosed() {
		return nil
	}
	err := s.syncUnsynced()
	if err == nil {
		return nil
	}
	// The calls were read back; a new segment may take them.
	if err := s.writeHeld(); err != nil {
		s.hold(nil, err)
	}
	return errors.Join(err, s.flushLedger())
}
