package spool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// group is the calls that are made durable by one sync.
type group struct {
	calls []pending
	done  chan struct{}
}

// pending is a call with its name, on its way to the disk.
type pending struct {
	call Call
	seq  uint64
	time time.Time
	err  error
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func sizeOf(calls []pending) (size int64) {
	for i := range calls {
		size += frameSize(&calls[i].call)
	}
	return size
}

// ErrFull is wrapped by Append's error when there was no room for a call. Its
// seq is taken all the same: the call is dropped under a name.
var ErrFull = errors.New("the spool is full")

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("the spool is closed")

// Append spools a call and returns its seq once it is durable: synced to disk
// together with whatever other goroutines append at the same time. (With
// SyncEvery, once it is written.)
//
// When the disk cannot be written the call is kept in memory up to HeldBytes, and
// Append returns nil all the same; Recover writes it. The payload is then copied.
// Otherwise it is read until Append returns and not kept.
//
// An error means that the call is not spooled. It wraps ErrFull or ErrClosed, or
// says what the disk said; but for ErrClosed its seq is taken, and the reader
// tells of it as Missing. ctx is not looked at: a call is not left half accepted.
func (s *Spool) Append(_ context.Context, c Call) (seq uint64, err error) {
	if len(c.Stream) > math.MaxUint8 || len(c.Payload) > math.MaxInt32 {
		return 0, fmt.Errorf("spool: a stream name of %d bytes or a payload of %d is too long", len(c.Stream), len(c.Payload))
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	seq = s.nextSeq
	s.nextSeq++
	g, i := s.group, len(s.group.calls)
	g.calls = append(g.calls, pending{call: c, seq: seq, time: s.cfg.Now()})
	if s.writing {
		s.mu.Unlock()
		<-g.done
		return seq, g.calls[i].err
	}
	s.writing = true
	s.lead()
	return seq, g.calls[i].err
}

// lead writes groups until no call waits. It is entered with mu held.
func (s *Spool) lead() {
	for len(s.group.calls) > 0 {
		g := s.group
		s.group = newGroup()
		s.mu.Unlock()
		s.write(g.calls)
		close(g.done)
		s.mu.Lock()
	}
	s.writing = false
	s.idle.Broadcast()
	s.mu.Unlock()
}

var errLifted = errors.New("a sync failed, and no new file took what it was for")

// write makes calls durable or notes why they are not.
func (s *Spool) write(calls []pending) {
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.writable() {
		s.spool(calls)
	} else {
		s.hold(calls, s.unwritable.err)
	}
	if len(s.held.calls) > 0 && s.unwritable.since.IsZero() {
		s.hold(nil, errLifted)
	}
	_ = s.flushLedger() // told, and tried again
}

// spool writes calls together, and one by one when not all of them fit.
func (s *Spool) spool(calls []pending) {
	size := sizeOf(calls)
	err := s.room(size)
	if err == nil {
		err = s.store(calls, size)
	}
	switch {
	case err == nil:
		s.episode = 0
	case errors.Is(err, ErrFull):
		for i := range calls {
			s.spoolOne(calls[i : i+1])
		}
	default:
		s.hold(calls, err)
	}
}

// spoolOne writes one call for which there may be no room.
func (s *Spool) spoolOne(one []pending) {
	p, size := &one[0], sizeOf(one)
	if !s.unwritable.since.IsZero() {
		s.hold(one, s.unwritable.err)
		return
	}
	for freed := int64(0); ; {
		err := s.room(size)
		if err == nil {
			err = s.store(one, size)
		}
		switch {
		case err == nil:
			return
		case !errors.Is(err, ErrFull):
			s.hold(one, err)
			return
		case s.cfg.WhenFull == DropOldest && diskFull(err) && freed <= 4*size:
			// The disk said so, not the limits: others fill it too, so room is made
			// a few times over and then no more.
			if n := s.dropOldest(size); n > 0 {
				freed += n
				continue
			}
		case s.cfg.WhenFull == Block && s.fits(size) && s.waitForRoom():
			continue
		}
		p.err = fmt.Errorf("spool: %w", err)
		s.loseCall(DroppedNewest, p)
		return
	}
}

// accepted notes calls that the spool keeps. It is entered with mu held.
func (s *Spool) accepted(calls []pending) {
	for i := range calls {
		p := &calls[i]
		s.kept[p.call.Stream] = max(s.kept[p.call.Stream], p.seq)
	}
}
