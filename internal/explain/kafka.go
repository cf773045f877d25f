package explain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka reads evidence that lies in topics, and finds records by their event's id.
// It is for one goroutine, which closes it.
type Kafka struct {
	files  Files
	client *kgo.Client
	admin  *kadm.Client
	// Progress, if set, is told how many records were looked through.
	Progress func(records int64)
}

// NewKafka connects with options, which name the brokers.
func NewKafka(options []kgo.Opt) (*Kafka, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(8 << 20),
		kgo.KeepControlRecords(), // a topic's last offset is mostly the mark of a transaction
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Kafka{client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the connections.
func (k *Kafka) Close() { k.client.Close() }

// Read implements Reader, for places in topics and in files.
func (k *Kafka) Read(ctx context.Context, at Place) (value []byte, err error) {
	if at.Topic == "" {
		return k.files.Read(ctx, at)
	}
	low, high, err := k.bounds(ctx, at.Topic, at.Partition)
	switch {
	case err != nil:
		return nil, err
	case at.Offset < low:
		return nil, fmt.Errorf("%w: retention has removed it, the topic begins at offset %d", ErrRemoved, low)
	case at.Offset >= high:
		return nil, fmt.Errorf("%w: the topic ends at offset %d, so it was made anew or cut", ErrRemoved, high)
	}
	err = k.consume(ctx, at.Topic, at.Partition, at.Offset, at.Offset+1, func(r *kgo.Record) {
		if r.Offset == at.Offset {
			value = bytes.Clone(r.Value)
		}
	})
	if err == nil && value == nil {
		err = fmt.Errorf("%w: compaction or an aborted transaction has taken it", ErrRemoved)
	}
	return value, err
}

// bounds are the first offset and that after the last committed one.
func (k *Kafka) bounds(ctx context.Context, topic string, partition int32) (low, high int64, err error) {
	starts, err := k.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	ends, err := k.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	start, ok := starts.Lookup(topic, partition)
	end, _ := ends.Lookup(topic, partition)
	if !ok {
		return 0, 0, fmt.Errorf("%w: topic %s has no partition %d", ErrRemoved, topic, partition)
	}
	return start.Offset, end.Offset, nil
}

// readTimeout is how long a broker may say nothing while records are due.
const readTimeout = 30 * time.Second

// consume shows the records from an offset on, until one at or after to would come.
func (k *Kafka) consume(ctx context.Context, topic string, partition int32, from, to int64, visit func(*kgo.Record)) error {
	k.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}})
	defer k.client.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for next := from; next < to; {
		wait, cancel := context.WithTimeout(ctx, readTimeout)
		fetches := k.client.PollFetches(wait)
		cancel()
		if err := fetches.Err0(); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return nil // what is left up to the end was compacted away
			}
			return fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("read %s/%d: %w", topic, partition, errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if r.Offset < to && !r.Attrs.IsControl() {
				visit(r)
			}
		})
	}
	return nil
}

// Find returns the record of an event with the highest revision in topic, by the
// header id that the enricher writes, or nil when there is none. Where the id begins
// with an agent, only the partition that its rows are in is read.
func (k *Kafka) Find(ctx context.Context, topic, id string) (value []byte, err error) {
	partitions, err := k.partitions(ctx, topic, id)
	if err != nil {
		return nil, err
	}
	var seen int64
	for _, partition := range partitions {
		low, high, err := k.bounds(ctx, topic, partition)
		if err != nil {
			return nil, err
		}
		err = k.consume(ctx, topic, partition, low, high, func(r *kgo.Record) {
			if seen++; k.Progress != nil && seen%100_000 == 0 {
				k.Progress(seen)
			}
			if header(r, "id") == id {
				value = bytes.Clone(r.Value) // of one id, later ones have higher revisions
			}
		})
		if err != nil || value != nil {
			return value, err
		}
	}
	return nil, nil
}

func (k *Kafka) partitions(ctx context.Context, topic, id string) ([]int32, error) {
	all, err := k.admin.ListTopics(ctx, topic)
	if err == nil {
		err = all.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	numbers := all[topic].Partitions.Numbers()
	agent, rest, ok := strings.Cut(id, "/")
	if !ok || strings.Count(rest, "/") != 2 || len(agent) != 36 {
		return numbers, nil
	}
	first := int32(kgo.StickyKeyPartitioner(nil).ForTopic(topic).Partition(&kgo.Record{Topic: topic, Key: []byte(agent)}, len(numbers)))
	ordered := []int32{first}
	for _, n := range numbers { // another partitioner may have been at work
		if n != first {
			ordered = append(ordered, n)
		}
	}
	return ordered, nil
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
