package lease

import (
	"context"
	"slices"
)

// sync makes the table agree with the stream: a lease for each shard that has none,
// and none for shards that Kinesis has forgotten once those that follow on them are
// begun with.
func (w *Worker) sync(ctx context.Context, leases []*Lease) error {
	shards, err := w.cfg.Shards(ctx)
	if err != nil {
		return err
	}
	listed, known := map[string]bool{}, map[string]*Lease{}
	for _, s := range shards {
		listed[s.ID] = true
	}
	for _, l := range leases {
		known[l.Key] = l
	}
	for _, s := range shards {
		if known[s.ID] != nil {
			continue
		}
		if err := w.cfg.Table.add(ctx, s, w.startOf(s, fresh(leases))); err != nil {
			return err
		}
	}
	w.listed = listed
	return w.forget(ctx, leases)
}

// fresh tells whether nobody has read anything yet: the table is being made, by this
// worker or several at once.
func fresh(leases []*Lease) bool {
	return !slices.ContainsFunc(leases, func(l *Lease) bool { return l.Number() || l.Sequence == TrimHorizon })
}

// startOf is where a new lease begins. A shard that came after the first look at the
// stream is read whole, whatever is wished: what is in it was written since.
func (w *Worker) startOf(s Shard, first bool) string {
	switch {
	case !first || w.cfg.Start == TrimHorizon:
		return TrimHorizon
	case s.Closed:
		return ShardEnd
	}
	return Latest
}

// forget removes what nobody needs any more: shards that are over and that Kinesis no
// longer has, when all that follow on them have a checkpoint of their own.
func (w *Worker) forget(ctx context.Context, leases []*Lease) error {
	waited := map[string]bool{}
	for _, l := range leases {
		if !l.Ended() && !l.Number() {
			for _, parent := range l.Parents {
				waited[parent] = true
			}
		}
	}
	for _, l := range leases {
		if !l.Ended() || w.listed[l.Key] || waited[l.Key] {
			continue
		}
		if w.cfg.Forget != nil {
			if err := w.cfg.Forget(ctx, l); err != nil {
				return err
			}
		}
		if err := w.cfg.Table.drop(ctx, l.Key); err != nil {
			return err
		}
	}
	return nil
}
