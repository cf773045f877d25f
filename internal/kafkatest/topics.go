package kafkatest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long a helper waits for a broker before the test fails.
const patience = 60 * time.Second

// readCommitted is how the protocol numbers that isolation level.
const readCommitted = 1

// Client returns a client of the brokers that is closed with the test.
func Client(t testing.TB, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...)
	if err != nil {
		t.Fatalf("client of %v: %v", brokers, err)
	}
	t.Cleanup(client.Close)
	return client
}

// CreateTopic makes a topic with these settings (nil for the defaults).
func CreateTopic(t testing.TB, brokers []string, name string, partitions int32, settings map[string]string) {
	t.Helper()
	client := Client(t, brokers)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	configs := make(map[string]*string, len(settings))
	for k, v := range settings {
		configs[k] = &v
	}
	resp, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, configs, name)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

// Read returns every record that is in the topic now, partition by partition
// and in order within each. A reader of committed records reads as far as the topic is
// decided; of a topic with transactions, it wants kgo.KeepControlRecords, since what was
// aborted shows by its marker alone.
func Read(t testing.TB, brokers []string, topic string, opts ...kgo.Opt) (all []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := Client(t, brokers, append(opts[:len(opts):len(opts)], kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer client.Close()
	missing := spans(ctx, t, client, topic)
	found := make([][]*kgo.Record, len(missing))
	for open(missing) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read topic %s: %v; next and end of its partitions: %v", topic, err, missing)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < missing[r.Partition].end {
				found[r.Partition] = append(found[r.Partition], r)
			}
			missing[r.Partition].next = r.Offset + 1
		})
	}
	for _, records := range found {
		all = append(all, records...)
	}
	return all
}

// offsets of a partition: the next to read, and the first not to.
type offsets struct{ next, end int64 }

func open(partitions []offsets) bool {
	for _, p := range partitions {
		if p.next < p.end {
			return true
		}
	}
	return false
}

func spans(ctx context.Context, t testing.TB, client *kgo.Client, topic string) []offsets {
	t.Helper()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		t.Fatalf("start offsets of topic %s: %v", topic, err)
	}
	list := admin.ListEndOffsets
	if level, _ := client.OptValue(kgo.FetchIsolationLevel).(int8); level == readCommitted {
		list = admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("end offsets of topic %s: %v", topic, err)
	}
	out := make([]offsets, len(ends[topic]))
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, o.Partition)
		out[o.Partition] = offsets{start.Offset, o.Offset}
	})
	return out
}
