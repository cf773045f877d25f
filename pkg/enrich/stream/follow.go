package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Follower reads a compacted topic whole, and then what is added to it, outside of any
// group: what it holds every process knows.
type Follower struct {
	Connection []kgo.Opt
	Topic      string
	// Take is called with each committed record, by one goroutine, in the order of each
	// partition. Value is nil for a key that was deleted. A record at which it fails is
	// told and passed over: every process would fail at it for ever.
	Take func(key, value []byte) error
	// Whole is called once, when all that was there at the start was taken.
	Whole func()
	Log   *slog.Logger
}

// Run follows until ctx ends, which is no error. A broker that is away is waited for.
func (f *Follower) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(f.Connection[:len(f.Connection):len(f.Connection)],
		kgo.ConsumeTopics(f.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last before the end
		kgo.FetchMaxWait(fetchWait),
	)...)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Topic, err)
	}
	defer client.Close()
	left, err := f.bounds(ctx, client)
	if err != nil {
		return nil
	}
	for whole := false; ctx.Err() == nil; {
		if !whole && len(left) == 0 {
			whole = true
			f.Whole()
		}
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, id int32, err error) {
			if ctx.Err() == nil {
				f.Log.Error("cannot read, will try again", "topic", topic, "partition", id, "error", err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			f.take(r)
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

// bounds are the partitions that hold something, with the offset at which what is there
// now ends. The error is that ctx ended.
func (f *Follower) bounds(ctx context.Context, client *kgo.Client) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	for told := false; ; told = true {
		left, err := bounds(ctx, admin, f.Topic)
		if err == nil {
			return left, nil
		}
		if ctx.Err() == nil && !told {
			f.Log.Error("cannot read, will try again", "topic", f.Topic, "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, fmt.Errorf("follow %s: %w", f.Topic, ctx.Err())
		}
	}
}

func bounds(ctx context.Context, admin *kadm.Client, topic string) (map[int32]int64, error) {
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, fmt.Errorf("bounds: %w", err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, end.Partition); ok && start.Offset < end.Offset {
			left[end.Partition] = end.Offset
		}
	})
	return left, nil
}

func (f *Follower) take(r *kgo.Record) {
	if r.Attrs.IsControl() {
		return
	}
	if err := f.Take(r.Key, r.Value); err != nil {
		f.Log.Error("a record says nothing that is known, passed over", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
	}
}
