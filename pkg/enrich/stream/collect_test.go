package stream_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// collect reads topic, committed records only, once it has want ids and the group has
// taken every record of the inputs: then what should not be there is there too.
func collect(t *testing.T, cfg stream.KafkaConfig, topic string, want int) (got []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Connection...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	brokers := client.OptValue(kgo.SeedBrokers).([]string)
	ids := map[string]bool{}
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		if taken(t, kadm.NewClient(client), cfg) {
			got = committed(t, brokers, topic)
			for _, r := range got {
				ids[idOf(r)] = true
			}
			if len(ids) >= want {
				return got
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d of %d ids", topic, len(ids), want)
		}
	}
}

// committed is what a topic holds.
func committed(t *testing.T, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	all := kafkatest.Read(t, brokers, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	return slices.DeleteFunc(all, func(r *kgo.Record) bool { return r.Attrs.IsControl() })
}

// taken tells whether the group has committed every record of the inputs.
func taken(t *testing.T, admin *kadm.Client, cfg stream.KafkaConfig) bool {
	t.Helper()
	ends, err := admin.ListEndOffsets(t.Context(), cfg.Inputs...)
	if err != nil {
		t.Fatal(err)
	}
	commits, err := admin.FetchOffsets(t.Context(), cfg.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		commit, ok := commits.Lookup(end.Topic, end.Partition)
		all = all && (end.Offset == 0 || ok && commit.At == end.Offset)
	})
	return all
}
