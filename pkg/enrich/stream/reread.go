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
	span := Span{s.cfg.Connection, Partition{topic, p.ID}, from, inputs[topic]}
	return span.Read(ctx, func(r *kgo.Record) error { return visit(s.cfg.input(r)) })
}

// Again shows the records of a range by a client of its own. What retention has taken
// is left out.
func (s *KafkaSession) Again(ctx context.Context, p Partition, r enrich.Range, visit func(enrich.Input) error) error {
	span := Span{s.cfg.Connection, Partition{r.Topic, p.ID}, r.From, r.To}
	return span.Read(ctx, func(r *kgo.Record) error { return visit(s.cfg.input(r)) })
}

// Span is records of one partition: those committed from From up to To.
type Span struct {
	Connection []kgo.Opt
	Partition  Partition
	From, To   int64
}

// Inputs shows the records as a pipeline takes them.
func (s Span) Inputs(ctx context.Context, visit func(enrich.Input) error) error {
	return s.Read(ctx, func(r *kgo.Record) error { return visit(input(r)) })
}

// Read shows the records in order, by a client of its own, and waits for transactions
// that are not decided. What retention or compaction has taken is left out.
func (s Span) Read(ctx context.Context, visit func(*kgo.Record) error) error {
	next := s.From
	if next >= s.To {
		return nil
	}
	client, err := kgo.NewClient(append(s.Connection[:len(s.Connection):len(s.Connection)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Partition.Topic: {s.Partition.ID: kgo.NewOffset().At(s.From)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last before the end
		kgo.FetchMaxBytes(maxBytes),
		kgo.FetchMaxPartitionBytes(maxBytes),
		kgo.DisableFetchSessions(),
	)...)
	if err != nil {
		return fmt.Errorf("read %s/%d: %w", s.Partition.Topic, s.Partition.ID, err)
	}
	defer client.Close()
	for next < s.To {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s/%d at %d: %w", s.Partition.Topic, s.Partition.ID, next, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if r.Offset < s.To && !r.Attrs.IsControl() && err == nil {
				err = visit(r)
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
