package kinesis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// Follower reads all shards of a stream, and then what is added to them, without leases:
// what it holds every process knows. A shard's parents are read before it.
type Follower struct {
	Client *awskinesis.Client
	Stream string
	// Poll is the time between two looks at a shard while nothing comes. All processes
	// share the five looks a second that a shard answers.
	Poll time.Duration
	// Kept, when set, takes what was kept of the stream elsewhere, and says how far that
	// goes in each shard: what lies behind is read. It is tried until it succeeds.
	Kept func(ctx context.Context) (map[string]lease.Checkpoint, error)
	// Take is called with each record's value, by one goroutine at a time, in the order of
	// each shard. A record at which it fails is told and passed over: every process would
	// fail at it for ever.
	Take func(value []byte) error
	// Whole is called once, when all that was there at the start was taken.
	Whole func()
	Log   *slog.Logger

	from    map[string]lease.Checkpoint
	taking  sync.Mutex
	readers sync.WaitGroup
}

// followed is how far a shard is.
type followed struct {
	shard      string
	tip, ended bool
}

// Run follows until ctx ends. A stream that is away is waited for.
func (f *Follower) Run(ctx context.Context) {
	defer f.readers.Wait()
	if f.Kept != nil && !f.insist(ctx, func() (err error) { f.from, err = f.Kept(ctx); return err }) {
		return
	}
	news, shards := make(chan followed), map[string]followed{}
	for whole, list := false, true; ; {
		var all []lease.Shard
		if list {
			if all = f.list(ctx); all == nil {
				return
			}
			f.begin(ctx, all, shards, news)
		}
		if !whole && settled(shards) {
			whole = true
			f.Whole()
		}
		select {
		case n := <-news:
			shards[n.shard], list = n, n.ended
		case <-ctx.Done():
			return
		}
	}
}

// settled tells that no shard has more than was taken.
func settled(shards map[string]followed) bool {
	for _, s := range shards {
		if !s.tip && !s.ended {
			return false
		}
	}
	return true
}

// list lists the shards, nil when ctx ends.
func (f *Follower) list(ctx context.Context) (all []lease.Shard) {
	f.insist(ctx, func() (err error) {
		if all, err = Shards(ctx, f.Client, f.Stream); err == nil && len(all) == 0 {
			err = errors.New("it has no shards")
		}
		return err
	})
	return all
}

// insist tries something until it succeeds; it is false where ctx ended before.
func (f *Follower) insist(ctx context.Context, try func() error) bool {
	for told := false; ; told = true {
		err := try()
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !told {
			f.Log.Error("cannot follow, will try again", "stream", f.Stream, "error", err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return false
		}
	}
}

// begin starts to read the shards whose parents were read, or are gone. The others are
// noted.
func (f *Follower) begin(ctx context.Context, all []lease.Shard, shards map[string]followed, news chan<- followed) {
	listed := map[string]bool{}
	for _, s := range all {
		if listed[s.ID] = true; f.from[s.ID].Sequence == lease.ShardEnd {
			shards[s.ID] = followed{s.ID, true, true}
		}
	}
	for i := range all {
		s := &all[i]
		if shards[s.ID].shard != "" { // it is read, or was
			continue
		}
		shards[s.ID] = followed{} // it waits
		if slices.ContainsFunc(s.Parents, func(parent string) bool { return listed[parent] && !shards[parent].ended }) {
			continue
		}
		shards[s.ID] = followed{shard: s.ID}
		f.readers.Go(func() { f.shard(ctx, s, news) })
	}
}

// shard reads one shard until ctx or the shard ends.
func (f *Follower) shard(ctx context.Context, s *lease.Shard, news chan<- followed) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hashes, err := kpl.ParseHashRange(s.StartingHash, s.EndingHash)
	if err != nil { // never seen: the service gives each shard its range
		f.Log.Error("shard is not followed", "stream", f.Stream, "shard", s.ID, "error", err)
		return
	}
	r := &reader{
		client: f.Client, stream: f.Stream, shard: s.ID, idle: f.Poll, pages: make(chan page), log: f.Log,
		unpack: Unpacker{Source: f.Stream + "/" + s.ID, Hashes: hashes},
	}
	from := f.from[s.ID]
	if !from.Number() {
		from.Sequence = lease.TrimHorizon
	}
	f.readers.Go(func() { r.run(ctx, from) })
	for tip := false; ; {
		select {
		case p := <-r.pages:
			f.take(p.records)
			if (!p.tip || tip) && !p.ended {
				continue
			}
			tip = true
			select {
			case news <- followed{s.ID, true, p.ended}:
			case <-ctx.Done():
			}
			if p.ended {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (f *Follower) take(records []placed) {
	f.taking.Lock()
	defer f.taking.Unlock()
	for i := range records {
		in := &records[i].Input
		err := in.Broken
		if err == nil {
			err = f.Take(in.Value)
		}
		if err != nil {
			f.Log.Error("a record says nothing that is known, passed over", "record", in.Name, "error", err)
		}
	}
}
