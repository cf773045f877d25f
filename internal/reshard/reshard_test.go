package reshard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/jointest"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/reshard"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const out, found, dead = "enriched", "findings", "deadletter"

// site is a Kafka with the topics of groups.
type site struct {
	t       *testing.T
	brokers []string
	admin   *kadm.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, out, found, dead))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &site{t, c.ListenAddrs(), kadm.NewClient(kafkatest.Client(t, c.ListenAddrs()))}
}

// group makes the topics of a group, and says how it reads them.
func (s *site) group(name string, partitions int32) stream.KafkaConfig {
	s.t.Helper()
	kafkatest.CreateTopic(s.t, s.brokers, name+".rows", partitions, nil)
	kafkatest.CreateTopic(s.t, s.brokers, name+".state", partitions, map[string]string{"cleanup.policy": "compact"})
	return stream.KafkaConfig{
		Connection: []kgo.Opt{kgo.SeedBrokers(s.brokers...), kgo.HeartbeatInterval(200 * time.Millisecond)},
		Group:      name, Inputs: []string{name + ".rows"}, StateTopic: name + ".state",
		Outputs:     map[enrich.Stream]string{enrich.Enriched: out, enrich.Findings: found, enrich.DeadLetters: dead},
		ExactlyOnce: true, Log: slog.New(slog.DiscardHandler),
	}
}

func (s *site) send(topic string, parts ...[]*kgo.Record) {
	s.t.Helper()
	client := kafkatest.Client(s.t, s.brokers)
	for _, r := range slices.Concat(parts...) {
		r.Topic = topic
		client.Produce(context.Background(), r, nil)
	}
	if err := client.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// start runs a group; the function it returns stops it.
func (s *site) start(cfg stream.KafkaConfig) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stream.RunKafka(ctx, cfg, 1, jointest.Job(io.Discard)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// through runs a group until all its rows are taken.
func (s *site) through(cfg stream.KafkaConfig) {
	s.t.Helper()
	stop := s.start(cfg)
	for deadline := time.Now().Add(time.Minute); !s.taken(cfg); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not take its rows", cfg.Group)
		}
	}
	stop()
}

func (s *site) taken(cfg stream.KafkaConfig) bool {
	s.t.Helper()
	ends, err := s.admin.ListEndOffsets(s.t.Context(), cfg.Inputs...)
	if err != nil {
		s.t.Fatal(err)
	}
	commits, err := s.admin.FetchOffsets(s.t.Context(), cfg.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		s.t.Fatal(err)
	}
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		commit, ok := commits.Lookup(end.Topic, end.Partition)
		all = all && (end.Offset == 0 || ok && commit.At == end.Offset)
	})
	return all
}

// finals are the last records of all events, without where and when they came from.
// Revisions are to be 0, 1, 2 and so on, whichever group told them.
func (s *site) finals() map[string]any {
	s.t.Helper()
	all, next := map[string]any{}, map[string]int{}
	for _, r := range s.committed(out) {
		var v map[string]any
		if err := json.Unmarshal(r.Value, &v); err != nil {
			s.t.Fatal(err)
		}
		about := v["enrichment"].(map[string]any)
		event := about["event"].(map[string]any)
		id := event["id"].(string)
		if event["revision"] != float64(next[id]) {
			s.t.Errorf("%s: revision %v came where %d was due", id, event["revision"], next[id])
		}
		next[id]++
		delete(event, "revision")
		delete(event, "ingested")
		delete(about, "evidence")
		all[id] = v
	}
	return all
}

func (s *site) committed(topic string) []*kgo.Record {
	s.t.Helper()
	records := kafkatest.Read(s.t, s.brokers, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	return slices.DeleteFunc(records, func(r *kgo.Record) bool { return r.Attrs.IsControl() })
}

func config(from, to stream.KafkaConfig) reshard.Config {
	return reshard.Config{
		Connection: to.Connection, From: from.Group, To: to.Group, FromState: from.StateTopic, ToState: to.StateTopic,
		Inputs: to.Inputs, Build: jointest.Job(io.Discard).Build,
	}
}

// A group of twelve goes on where one of six ended: what was known, what waits and
// what was told of it is found under each host's new partition.
func TestTwelvePartitionsGoOnWhereSixEnded(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	tell := func() [][]*kgo.Record { return jointest.Tales("", rand.New(rand.NewPCG(seed, 0)), 4) }
	calm := newSite(t)
	one := calm.group("one", 3)
	calm.send("one.rows", tell()...)
	calm.through(one)

	s := newSite(t)
	six, twelve := s.group("six", 6), s.group("twelve", 12)
	parts := tell()
	s.send("six.rows", parts[:2]...)
	s.through(six)
	cfg := config(six, twelve)
	dry, err := reshard.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.committed("twelve.state")); n != 0 {
		t.Fatalf("%d records were written unasked", n)
	}
	cfg.Apply = true
	report, err := reshard.Run(t.Context(), cfg)
	if err != nil || !reflect.DeepEqual(report, dry) {
		t.Fatalf("done %+v, said before %+v: %v", report, dry, err)
	}
	keys, hosts := 0, 0
	for _, share := range report.Partitions {
		keys, hosts = keys+share.Keys, hosts+share.Hosts
	}
	if n := len(s.committed("twelve.state")); n != keys || hosts != 6 || report.Waiting == 0 || report.Left == 0 || report.Keyless != 0 {
		t.Fatalf("%d records of %+v", n, report)
	}
	s.send("twelve.rows", without(slices.Concat(parts[2:]...), slices.Concat(parts[:2]...)))
	s.through(twelve)
	got, want := s.finals(), calm.finals()
	if len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	for id := range want {
		if !reflect.DeepEqual(got[id], want[id]) {
			t.Fatalf("%s:\n%v\nwant\n%v", id, got[id], want[id])
		}
	}
	if letters := s.committed(dead); len(letters) != 0 {
		t.Errorf("%d dead letters", len(letters))
	}
}

// without leaves out what was sent before: the books are by topic, and a call that is
// sent to both is known only while it waits.
func without(records, before []*kgo.Record) []*kgo.Record {
	return slices.DeleteFunc(records, func(r *kgo.Record) bool {
		return slices.ContainsFunc(before, func(b *kgo.Record) bool { return bytes.Equal(b.Value, r.Value) })
	})
}

func TestWhatCouldLoseStateIsRefused(t *testing.T) {
	s := newSite(t)
	six, twelve := s.group("six", 6), s.group("twelve", 12)
	parts := jointest.Tales("", rand.New(rand.NewPCG(1, 0)), 2)
	s.send("six.rows", parts[0])
	s.through(six)
	cfg := config(six, twelve)
	cfg.Apply = true
	refused := func(cfg reshard.Config, words string) {
		t.Helper()
		if _, err := reshard.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	shared := cfg
	shared.Inputs = six.Inputs
	refused(shared, "both groups read six.rows")
	stop := s.start(six)
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		groups, err := s.admin.DescribeGroups(t.Context(), "six")
		if err == nil && groups["six"].State == "Stable" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the group does not come up")
		}
	}
	refused(cfg, "stop its enrichers first")
	stop()
	s.send("six.rows", parts[1])
	refused(cfg, "are not taken")
	s.through(six)
	same := cfg
	same.To = six.Group
	refused(same, "both the old group and the new one")
	if n := len(s.committed("twelve.state")); n != 0 {
		t.Fatalf("%d records were written by what was refused", n)
	}
	if _, err := reshard.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	refused(cfg, "is not empty")
}
