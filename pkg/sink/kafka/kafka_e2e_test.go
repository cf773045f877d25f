//go:build e2e

package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

func TestConformanceOnKafkaStopped(t *testing.T) {
	b := kafkatest.Real(t)
	sinktest.Run(t, harness(b, b.Stop, kafka.Config{Compression: "zstd"}))
}

func TestConformanceOnKafkaKilled(t *testing.T) {
	b := kafkatest.Real(t)
	sinktest.Run(t, harness(b, b.Kill, kafka.Config{}))
}

// TestRealKafkaTakesNoFutureTimestamps is why a clock fault is re-stamped: the
// broker's own check decides, and a host whose clock is hours ahead must get
// its rows through all the same.
func TestRealKafkaTakesNoFutureTimestamps(t *testing.T) {
	b := kafkatest.Real(t)
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	kafkatest.CreateTopic(t, b.Addrs(), "past", 1, map[string]string{"message.timestamp.before.max.ms": "3600000"})
	kafkatest.CreateTopic(t, b.Addrs(), "appended", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	ahead := time.Now().Add(3 * time.Hour)
	for i, topic := range []string{"t", "past", "appended"} {
		batch := recordsOf("0", "1", "2")
		for j := range batch {
			batch[j].Topic, batch[j].Time = topic, ahead
			if topic == "past" {
				batch[j].Time = ahead.Add(-100 * time.Hour)
			}
		}
		if err := s.Write(patient(t), batch); err != nil {
			t.Fatalf("%s: %v", topic, err)
		}
		if got := read(t, b.Addrs(), topic); valuesOf(got) != "0 1 2" || time.Since(got[0].Time).Abs() > time.Hour {
			t.Errorf("%s has %v", topic, got)
		}
		if want := uint64(3 * min(i+1, 2)); s.Restamped() != want {
			t.Errorf("%s: %d restamped in all, want %d", topic, s.Restamped(), want)
		}
	}
}

// TestRealKafkaTakesRecordsWithoutTimestamp plays a host whose own clock is
// what is wrong: its idea of the present was refused, so it is no help to stamp
// with that again.
func TestRealKafkaTakesRecordsWithoutTimestamp(t *testing.T) {
	b := kafkatest.Real(t)
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, map[string]string{"message.timestamp.before.max.ms": "1000"})
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	batch := recordsOf("0", "1")
	for i := range batch {
		batch[i].Time = time.Now().Add(-30 * time.Second)
	}
	if err := s.Write(patient(t), batch); err != nil {
		t.Fatal(err)
	}
	got := read(t, b.Addrs(), "t")
	if valuesOf(got) != "0 1" || !got[0].Time.Equal(time.UnixMilli(-1)) || s.Restamped() != 2 {
		t.Errorf("the topic has %v, %d restamped", got, s.Restamped())
	}
}

// TestRealKafkaRefusesRecordsOfACompactedTopic is the one way to make a real
// broker call a record invalid: a compacted topic takes none without a key.
func TestRealKafkaRefusesRecordsOfACompactedTopic(t *testing.T) {
	b := kafkatest.Real(t)
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, map[string]string{"cleanup.policy": "compact"})
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	batch := recordsOf("0", "1", "2", "3", "4")
	batch[2].Key = nil
	failed, permanent, _ := verdict(s.Write(patient(t), batch))
	if !slices.Equal(permanent, []int{2}) || !slices.Equal(failed, []int{2, 3, 4}) {
		t.Fatalf("failed %v, for good %v", failed, permanent)
	}
	if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1" {
		t.Errorf("the topic has %q", got)
	}
}

func TestRealKafkaDecidesOnSize(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.Set("message.max.bytes", "5000000"))
	kafkatest.CreateTopic(t, b.Addrs(), "large", 1, nil)
	kafkatest.CreateTopic(t, b.Addrs(), "small", 1, map[string]string{"max.message.bytes": "1000"})
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	large := bytes.Repeat([]byte("l"), 4_000_000)
	if err := s.Write(patient(t), []sink.Record{{Topic: "large", Key: []byte("k"), Value: large}}); err != nil {
		t.Fatal(err)
	}
	var batch []sink.Record
	for range 50 { // together far over the topic's limit, each under it
		batch = append(batch, sink.Record{Topic: "small", Key: []byte("k"), Value: bytes.Repeat([]byte("s"), 300)})
	}
	if err := s.Write(patient(t), batch); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b.Addrs(), "small"); len(got) != len(batch) {
		t.Errorf("the topic with the small limit has %d records, want %d", len(got), len(batch))
	}
}

// TestRealKafkaHealsUnderAHeldLine goes through what an operator mends while
// records wait: the login, the rights, the topic.
func TestRealKafkaHealsUnderAHeldLine(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.With(kafkatest.SASL),
		kafkatest.Set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		kafkatest.Set("super.users", "User:ANONYMOUS"))
	password := "wrong"
	s := open(t, []string{b.Addr(kafkatest.SASL)}, kafka.Config{Options: []kgo.Opt{
		kgo.SASL(scram.Sha256(func(context.Context) (scram.Auth, error) {
			return scram.Auth{User: kafkatest.User, Pass: password}, nil
		})),
	}})
	defer func() { _ = s.Close(t.Context()) }()

	// The broker's own view follows a change after a moment, so that held asks
	// until the wanted word comes; a delivery or a refusal for good is wrong at once.
	held := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err := s.Write(ctx, recordsOf("0", "1"))
			cancel()
			if err == nil || sink.IsPermanent(err) {
				t.Fatalf("got %v, want a transient error that tells of %s", err, want)
			}
			if strings.Contains(err.Error(), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %v, want it to tell of %s", err, want)
			}
		}
	}
	held("SASL")
	password = kafkatest.Password
	held("AUTHORIZATION") // a topic that cannot be described looks forbidden, not missing
	allow(t, b, "t")
	held(kerr.UnknownTopicOrPartition.Message)
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	if err := s.Write(patient(t), recordsOf("0", "1")); err != nil {
		t.Fatal(err)
	}
	if got := valuesOf(firsts(read(t, b.Addrs(), "t"))); got != "0 1" {
		t.Errorf("the topic has %q", got)
	}
}

func firsts(records []sink.Record) []sink.Record {
	var out []sink.Record
	for _, r := range records {
		if !slices.ContainsFunc(out, func(o sink.Record) bool { return bytes.Equal(o.Value, r.Value) }) {
			out = append(out, r)
		}
	}
	return out
}

// allow lets the SASL user write to a topic.
func allow(t *testing.T, b *kafkatest.Broker, topic string) {
	t.Helper()
	rights := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpWrite, kadm.OpDescribe).Allow("User:" + kafkatest.User).AllowHosts()
	results, err := kadm.NewClient(kafkatest.Client(t, b.Addrs())).CreateACLs(t.Context(), rights)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRealKafkaForgetsTheProducer deletes the records and with them what the
// broker knows of the producer: the sequence errors that follow must mend.
func TestRealKafkaForgetsTheProducer(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.Set("producer.id.expiration.ms", "1000"), kafkatest.Set("producer.id.expiration.check.interval.ms", "200"))
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	if err := s.Write(patient(t), recordsOf("0", "1")); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(kafkatest.Client(t, b.Addrs()))
	for deadline := time.Now().Add(time.Minute); ; {
		producers, err := admin.DescribeProducers(t.Context(), kadm.TopicsSet{"t": {0: {}}})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the broker does not forget: %v", err)
		}
		if len(producers.SortedProducers()) == 0 {
			break
		}
	}
	if err := s.Write(patient(t), recordsOf("2", "3")); err != nil {
		t.Fatal(err)
	}
	if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1 2 3" {
		t.Errorf("the topic has %q", got)
	}
}
