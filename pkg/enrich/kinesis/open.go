package kinesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// pipelineState is the operator under which a loss of state is noted.
const pipelineState = "pipeline"

// epochRevisions is more than a record is ever revised from one state.
const epochRevisions = 1 << 20

// retryPause is how long to wait before something outside is tried again.
const retryPause = time.Second

// open makes the session of a shard: its state as of the checkpoint, what its last
// owner may not have told delivered, and its reader started.
func open(ctx context.Context, cfg *Config, h *lease.Held) (s *session, err error) {
	id, err := numberOf(h.Key)
	if err != nil {
		return nil, err
	}
	hashes, err := kpl.ParseHashRange(h.StartingHash, h.EndingHash)
	if err != nil {
		return nil, fmt.Errorf("shard %s: %w", h.Key, err)
	}
	s = &session{
		cfg: cfg, held: h, part: stream.Partition{Topic: cfg.Stream, ID: id}, log: cfg.Log.With("shard", h.Key),
		hashes: hashes, offset: h.Offset, epoch: h.Epoch, at: h.Checkpoint,
	}
	if s.store, err = openStore(cfg, id); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
			s = nil
		}
	}()
	ctx, cancel := s.whileHeld(ctx)
	defer cancel()
	if s.out, err = cfg.Deliver(); err != nil {
		return s, err
	}
	if err = s.restore(ctx); err != nil {
		return s, err
	}
	if err = s.loadPlaces(); err != nil {
		return s, err
	}
	s.sent = true
	s.read()
	return s, nil
}

func openStore(cfg *Config, id int32) (*state.Store, error) {
	store, _, err := state.Open(state.Config{Format: cfg.StateFormat, Of: state.Changelog{Topic: cfg.Stream, Partition: id}})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return store, nil
}

// restore brings the state to where the checkpoint is.
func (s *session) restore(ctx context.Context) error {
	if s.cfg.Journal == nil {
		return s.unkept(ctx)
	}
	s.journal = journal.New(s.cfg.Journal, s.cfg.Stream+"/"+s.held.Key)
	switch {
	case s.held.Journal != "":
		return s.resume(ctx)
	case !s.held.Number(): // nothing of it was told
		return s.inherit(ctx)
	}
	return s.partial(s.epoch+1, time.Now())
}

// unkept begins where no journal is kept. The epoch in the lease is then that of the next
// owner, and is written before anything is told: one who dies between telling a batch
// and noting it told it under revisions that are below the next owner's.
func (s *session) unkept(ctx context.Context) error {
	var err error
	if s.held.Number() || s.epoch > 0 {
		err = s.partial(max(s.epoch, 1), time.Now())
	} else {
		err = s.inherit(ctx)
	}
	if err != nil {
		return err
	}
	return s.held.Move(ctx, s.progress())
}

// resume goes on from the last owner's journal: the one that a checkpoint names, or that
// of a child which told something of its parents' before it had a record of its own.
func (s *session) resume(ctx context.Context) error {
	told, err := s.load(ctx, s.journal, s.held.Journal, s.store)
	if lost(err) {
		s.log.Error("state lost, going on with nothing known", "error", err)
		s.journal = journal.New(s.cfg.Journal, s.cfg.Stream+"/"+s.held.Key)
		if err := s.store.Close(); err != nil {
			return err
		}
		if s.store, err = openStore(s.cfg, s.part.ID); err != nil {
			return err
		}
		return s.partial(s.epoch+1, time.Now())
	}
	if err != nil {
		return err
	}
	if len(told) == 0 || s.held.Sent {
		return nil
	}
	s.log.Info("telling again what the last owner may not have", "records", len(told))
	return s.out.Deliver(ctx, told)
}

// load reads a journal into a store, and tries until that can be done or is known to be
// impossible.
func (s *session) load(ctx context.Context, j *journal.Journal, name string, into *state.Store) (told []enrich.Output, err error) {
	err = s.insist(ctx, "state not read", func() error {
		told, err = j.Load(ctx, name, func(changes []state.Change) error { return into.Restore(changes, into.Position()+1) })
		return err
	}, lost)
	return told, err
}

// lost tells whether no other try would bring the state.
func lost(err error) bool {
	return errors.Is(err, journal.ErrMissing) || errors.Is(err, journal.ErrDamaged)
}

// insist tries something until it succeeds, ctx ends or its error is final.
func (s *session) insist(ctx context.Context, failure string, try func() error, final func(error) bool) error {
	for {
		err := try()
		if err == nil || final(err) || errors.Is(err, state.ErrFormat) {
			return err
		}
		if ctx.Err() == nil {
			s.log.Error(failure+", will try again", "error", err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// partial notes that the state before was lost.
func (s *session) partial(epoch int64, now time.Time) error {
	s.log.Warn("state is partial: events whose answers lie before are told with a gap", "epoch", epoch)
	return s.markPartial(epoch, now.Add(s.cfg.Memory))
}

func (s *session) markPartial(epoch int64, until time.Time) error {
	s.epoch = epoch
	err := enrich.MarkPartial(s.store.State(pipelineState), enrich.Partial{Base: int(epoch) * epochRevisions, Until: until})
	if err != nil {
		return err
	}
	s.store.Changes()
	return s.store.Committed(s.store.Position() + 1) // an abort must not forget it
}

// inherit takes from the parents what they know of the hosts that are now this shard's.
func (s *session) inherit(ctx context.Context) error {
	var epoch int64
	var until time.Time
	for _, key := range s.held.Parents {
		var parent *lease.Lease
		err := s.insist(ctx, "parent's lease not read", func() (err error) {
			parent, err = s.cfg.Leases.Get(ctx, key)
			return err
		}, func(error) bool { return false })
		if err != nil {
			return err
		}
		if parent == nil || parent.Offset == 0 {
			continue // nothing was ever read of it
		}
		s.offset, epoch = max(s.offset, parent.Offset), max(epoch, parent.Epoch)
		theirs, err := s.adopt(ctx, parent)
		if lost(err) {
			s.log.Error("state of the parent lost, going on with nothing known of its hosts", "parent", key, "error", err)
			theirs, err = enrich.Partial{Base: int(parent.Epoch+1) * epochRevisions, Until: time.Now().Add(s.cfg.Memory)}, nil
		}
		if err != nil {
			return err
		}
		epoch = max(epoch, int64(theirs.Base/epochRevisions))
		if theirs.Until.After(until) {
			until = theirs.Until
		}
	}
	if epoch == 0 {
		return nil
	}
	return s.markPartial(epoch, until)
}

// adopt copies the share of a parent's state, and returns what was lost before.
func (s *session) adopt(ctx context.Context, parent *lease.Lease) (lostBefore enrich.Partial, err error) {
	if s.journal == nil || parent.Journal == "" {
		return lostBefore, fmt.Errorf("%w: none was kept", journal.ErrMissing)
	}
	id, err := numberOf(parent.Key)
	if err != nil {
		return lostBefore, err
	}
	store, err := openStore(s.cfg, id)
	if err != nil {
		return lostBefore, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := s.load(ctx, journal.New(s.cfg.Journal, s.cfg.Stream+"/"+parent.Key), parent.Journal, store); err != nil {
		return lostBefore, err
	}
	if lostBefore, err = enrich.ReadPartial(store.State(pipelineState)); err != nil {
		return lostBefore, err
	}
	start, err := kpl.ParseHash(parent.StartingHash)
	if err != nil {
		return lostBefore, fmt.Errorf("lease of %s: %w", parent.Key, err)
	}
	return lostBefore, s.copyShare(store, s.hashes.Contains(start))
}

// ofShard tells operators whose state of no host says something of the records of one
// shard, and ends with it: the engine, the pipeline, where records are, and what of them
// feeds may learn of.
func ofShard(operator string) bool {
	switch operator {
	case "", pipelineState, placesState, "retro":
		return true
	}
	return false
}

// copyShare copies what belongs to hosts whose partition key lies in this shard. What is
// of no host, such as records that wait for theirs, goes to the heir: of two children that
// is the one that begins where the parent did.
func (s *session) copyShare(from *state.Store, heir bool) error {
	const atOnce = 1000
	ours, share := map[enrich.Host]bool{}, make([]state.Change, 0, atOnce)
	put := func() error {
		err := s.store.Restore(share, s.store.Position()+1)
		share = share[:0]
		return err
	}
	err := from.All(func(key, value []byte) error {
		operator, host, _, err := state.ParseKey(key)
		if err != nil {
			return err
		}
		mine, known := ours[host]
		if host == "" {
			mine, known = heir && !ofShard(operator), true
		}
		if !known {
			place, err := from.Key(host)
			if err != nil {
				return err
			}
			mine = place != nil && s.hashes.Contains(kpl.HashOf(place))
			ours[host] = mine
		}
		if !mine {
			return nil
		}
		share = append(share, state.Change{Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)})
		if len(share) == atOnce {
			return put()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return put()
}
