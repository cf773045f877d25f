package topicplan

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is what a cluster has of the topics in question.
type Cluster struct {
	brokers int
	topics  map[string]existing // those that exist
}

type existing struct {
	partitions int32
	replicas   int16 // the fewest of any partition
	settings   map[string]string
	holds      bool // whether there are records in it
}

// Read asks a cluster about the topics that the settings name.
func Read(ctx context.Context, client *kgo.Client, s Settings) (Cluster, error) {
	admin := kadm.NewClient(client)
	var names []string
	for _, t := range s.wanted() {
		names = append(names, t.name)
	}
	meta, err := admin.Metadata(ctx, names...)
	if err != nil {
		return Cluster{}, fmt.Errorf("ask for topics: %w (this user needs the right to describe them)", err)
	}
	c := Cluster{brokers: max(len(meta.Brokers), registered(ctx, client)), topics: map[string]existing{}}
	var there []string
	for name, detail := range meta.Topics {
		if errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if detail.Err != nil {
			return Cluster{}, fmt.Errorf("topic %s: %w", name, detail.Err)
		}
		there = append(there, name)
		c.topics[name] = existing{partitions: int32(len(detail.Partitions)), replicas: fewest(detail), settings: map[string]string{}}
	}
	if len(there) == 0 {
		return c, nil
	}
	return c, errors.Join(c.readSettings(ctx, admin, there), c.readOffsets(ctx, admin, there))
}

// registered counts the brokers of a cluster, those that are away too: else topics that
// are made while one of three is would have fewer replicas for ever. Brokers before
// Kafka 4.0 tell only of those that are there.
func registered(ctx context.Context, client *kgo.Client) int {
	ask := kmsg.NewPtrDescribeClusterRequest()
	ask.IncludeFencedBrokers = true
	told, err := ask.RequestWith(ctx, client)
	if err != nil {
		return 0
	}
	return len(told.Brokers)
}

func fewest(detail kadm.TopicDetail) int16 {
	n := int16(0)
	for _, p := range detail.Partitions {
		if r := int16(len(p.Replicas)); n == 0 || r < n {
			n = r
		}
	}
	return n
}

func (c Cluster) readSettings(ctx context.Context, admin *kadm.Client, names []string) error {
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask for the settings of topics: %w", err)
	}
	for _, config := range configs {
		if config.Err != nil {
			return fmt.Errorf("settings of topic %s: %w (this user needs the right DescribeConfigs)", config.Name, config.Err)
		}
		for _, entry := range config.Configs {
			c.topics[config.Name].settings[entry.Key] = entry.MaybeValue()
		}
	}
	return nil
}

func (c Cluster) readOffsets(ctx context.Context, admin *kadm.Client, names []string) error {
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	ends, endErr := admin.ListEndOffsets(ctx, names...)
	if endErr == nil {
		endErr = ends.Error()
	}
	if err = errors.Join(err, endErr); err != nil {
		return fmt.Errorf("ask whether topics hold records: %w", err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(end.Topic, end.Partition); start.Offset < end.Offset {
			t := c.topics[end.Topic]
			t.holds = true
			c.topics[end.Topic] = t
		}
	})
	return nil
}
