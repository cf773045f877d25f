package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Reread shows the records of one of a partition's topics again, by a client of its
// own: the group's stays where it is. What retention has taken is left out. Without
// transactions the state may have seen more than the group committed; it is what
// counts.
func (s *KafkaSession) Reread(ctx context.Context, p Partition, topic string, from int64, visit func(enrich.Input) error) error {
	w := s.worker(p.ID)
	inputs, err := w.store.Inputs()
	if err != nil {
		return err
	}
	next, end := from, inputs[topic]
	if next >= end {
		return nil
	}
	opts := append(s.cfg.Connection[:len(s.cfg.Connection):len(s.cfg.Connection)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p.ID: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last before the end
		kgo.FetchMaxBytes(maxBytes),
		kgo.FetchMaxPartitionBytes(maxBytes),
		kgo.DisableFetchSessions(),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("read %s/%d again: %w", topic, p.ID, err)
	}
	defer client.Close()
	for next < end {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s/%d again at %d: %w", topic, p.ID, next, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if r.Offset < end && !r.Attrs.IsControl() && err == nil {
				err = visit(input(r))
			}
		})
		if err != nil {
			return err
		}
		if low := lowest(fetches); low > next {
			next = low // all of it is gone
		}
	}
	return nil
}

// lowest is where the partition begins, as the fetches tell.
func lowest(fetches kgo.Fetches) (offset int64) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) { offset = max(offset, p.LogStartOffset) })
	return offset
}
