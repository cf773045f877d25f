package kinesis

import (
	"context"
	"errors"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
)

// Commit makes the batch durable and tells its output, in the order that lets another
// go on from any point between: the journal, the lease, the output. Without a journal
// the output comes first. It tries for as long as ctx and the lease last; what it had
// committed by then, another owner tells.
func (s *session) Commit(ctx context.Context, outputs []enrich.Output) error {
	ctx, cancel := s.whileHeld(ctx)
	defer cancel()
	for i := range outputs {
		if len(outputs[i].Value)+len(outputs[i].Key) > s.cfg.MaxRecordBytes {
			s.log.Warn("output too large for its destination, dead-lettered", "id", outputs[i].ID, "bytes", len(outputs[i].Value))
			outputs[i] = *enrich.Oversized(&outputs[i], s.cfg.MaxRecordBytes)
		}
	}
	err := s.commit(ctx, outputs)
	if err != nil {
		s.count("stopped")
		if errors.Is(context.Cause(ctx), lease.ErrLost) {
			return lease.ErrLost
		}
		return err
	}
	s.count("committed")
	s.settle()
	return nil
}

func (s *session) commit(ctx context.Context, outputs []enrich.Output) error {
	to := s.progress()
	if err := s.notePlace(to, time.Now()); err != nil {
		return err
	}
	changes := s.store.Changes()
	if s.journal == nil {
		if err := s.out.Deliver(ctx, outputs); err != nil {
			return err
		}
		if err := s.held.Move(ctx, to); err != nil {
			return err
		}
		return s.store.Committed(s.store.Position() + 1)
	}
	err := s.insist(ctx, "journal not written", func() (err error) {
		to.Journal, err = s.journal.Append(ctx, changes, outputs, s.store.All)
		return err
	}, func(error) bool { return s.store.Broken() })
	if err != nil {
		return err
	}
	if to.Sent = len(outputs) == 0; !to.Sent {
		s.sent = false
	}
	if err := s.held.Move(ctx, to); err != nil {
		return err
	}
	if err := s.store.Committed(s.store.Position() + 1); err != nil {
		return err
	}
	if err := s.journal.Committed(ctx); err != nil {
		s.log.Warn("old state not removed, will try again", "error", err)
	}
	if err := s.out.Deliver(ctx, outputs); err != nil {
		return err
	}
	s.sent = true
	return nil
}

// progress is where the batch ends.
func (s *session) progress() lease.Progress {
	to := lease.Progress{Checkpoint: s.at, Offset: s.offset + int64(s.handed), Epoch: s.epoch}
	if s.handed > 0 {
		to.Checkpoint = s.queue[s.handed-1].at
	}
	if s.journal == nil {
		to.Epoch, to.Sent = s.epoch+1, true
	}
	return to
}

// settle forgets the records of the batch.
func (s *session) settle() {
	if s.handed > 0 {
		s.at = s.queue[s.handed-1].at
	}
	s.offset += int64(s.handed)
	if s.tries > 0 && s.suspect < s.offset {
		s.tries = 0
	}
	clear(s.queue[:s.handed]) // lets their bytes go
	s.queue = s.queue[s.handed:]
	s.handed = 0
}

// leave tells the next owner that there is nothing to tell again.
func (s *session) leave(ctx context.Context) error {
	if s.journal == nil || !s.sent || s.held.Sent || s.held.Journal == "" {
		return nil
	}
	ctx, cancel := s.whileHeld(ctx)
	defer cancel()
	to := s.held.Progress
	to.Sent = true
	return s.held.Move(ctx, to)
}

// end tells that the shard was read to its end: its children may begin.
func (s *session) end(ctx context.Context) error {
	ctx, cancel := s.whileHeld(ctx)
	defer cancel()
	if err := s.keepInherited(ctx); err != nil {
		return err
	}
	to := s.progress()
	to.Journal, to.Sent = s.held.Journal, true
	return s.held.End(ctx, to, s.ended.children)
}

// keepInherited writes to the journal what came from the parents of a shard that got
// nothing of its own: its children take it from there.
func (s *session) keepInherited(ctx context.Context) error {
	if s.journal == nil || s.held.Journal != "" || s.offset == 0 {
		return nil
	}
	return s.commit(ctx, nil)
}
