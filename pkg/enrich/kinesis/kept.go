package kinesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// Kept reads what an operator of a stream's consumers keeps, as their journals have it,
// without a lease: take is called with each value. It returns how far each shard is in
// that, for a Follower to go on from. A shard whose state is lost is told of and left out.
// Other errors are for another try, in which take is called anew.
func Kept(ctx context.Context, cfg *Config, operator string, take func(value []byte) error) (map[string]lease.Checkpoint, error) {
	leases, err := cfg.Leases.All(ctx)
	if err != nil {
		return nil, err
	}
	// Of a shard and its parents, the children say more: they took over what was theirs.
	slices.SortFunc(leases, func(a, b *lease.Lease) int { return cmp.Compare(b.Key, a.Key) })
	at, said := map[string]lease.Checkpoint{}, hashRanges{}
	for _, l := range leases {
		at[l.Key] = l.Checkpoint
		if l.Journal == "" {
			continue
		}
		hashes, err := kpl.ParseHashRange(l.StartingHash, l.EndingHash)
		if err != nil {
			return nil, fmt.Errorf("lease of %s: %w", l.Key, err)
		}
		l, err := kept(ctx, cfg, l, operator, said, take)
		switch {
		case lost(err):
			cfg.Log.Error("what was kept of a shard is lost: the shard is read from its start", "shard", l.Key, "error", err)
			delete(at, l.Key)
		case err != nil:
			return nil, err
		default:
			at[l.Key], said = l.Checkpoint, append(said, hashes)
		}
	}
	return at, nil
}

// hashRanges are parts of the hash space.
type hashRanges []kpl.HashRange

func (all hashRanges) contain(key []byte) bool {
	hash := kpl.HashOf(key)
	return slices.ContainsFunc(all, func(r kpl.HashRange) bool { return r.Contains(hash) })
}

// kept reads one shard's, but for keys that were said. It returns the lease as of what it
// read.
func kept(ctx context.Context, cfg *Config, l *lease.Lease, operator string, said hashRanges, take func([]byte) error) (*lease.Lease, error) {
	for {
		err := keptIn(ctx, cfg, l, operator, said, take)
		if !lost(err) {
			return l, err
		}
		now, failed := cfg.Leases.Get(ctx, l.Key)
		if failed != nil {
			return l, failed
		}
		if now == nil || now.Journal == l.Journal {
			return l, err
		}
		l = now // its owner wrote all of it anew, and removed what was before
	}
}

func keptIn(ctx context.Context, cfg *Config, l *lease.Lease, operator string, said hashRanges, take func([]byte) error) error {
	id, err := numberOf(l.Key)
	if err != nil {
		return err
	}
	store, err := openStore(cfg, id)
	if err != nil {
		return err
	}
	_, err = journal.New(cfg.Journal, cfg.Stream+"/"+l.Key).Load(ctx, l.Journal, func(changes []state.Change) error {
		return store.Restore(changes, store.Position()+1)
	})
	if err == nil {
		err = visit(store, operator, said, take)
	}
	store.Distrust() // nobody needs the copy again
	return errors.Join(err, store.Close())
}

// visit shows an operator's values of all hosts whose partition key is not said.
func visit(store *state.Store, operator string, said hashRanges, take func([]byte) error) error {
	of := store.State(operator)
	return of.Hosts(func(host enrich.Host) error {
		key, err := store.Key(host)
		if err != nil || said.contain(key) {
			return err
		}
		return of.Scan(host, nil, func(_, value []byte) error { return take(value) })
	})
}
