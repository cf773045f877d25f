package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
)

const produceKey, initProducerIDKey = 0, 22

// refuse has the broker answer a produce request with a code for every
// partition that pick chooses; when it chooses none the request goes through.
func refuse(b *kafkatest.FakeBroker, code *kerr.Error, pick func(p *kmsg.ProduceRequestTopicPartition) bool) {
	b.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		resp := produce.ResponseKind().(*kmsg.ProduceResponse)
		refused := false
		for i := range produce.Topics {
			topic := &produce.Topics[i]
			out := kmsg.NewProduceResponseTopic()
			out.Topic, out.TopicID = topic.Topic, topic.TopicID
			for j := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition = topic.Partitions[j].Partition
				if pick(&topic.Partitions[j]) {
					p.ErrorCode, refused = code.Code, true
				}
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, refused
	})
}

// times picks everything for the first n partition batches.
func times(n int32) func(*kmsg.ProduceRequestTopicPartition) bool {
	var seen atomic.Int32
	return func(*kmsg.ProduceRequestTopicPartition) bool { return seen.Add(1) <= n }
}

func holding(text string) func(*kmsg.ProduceRequestTopicPartition) bool {
	return func(p *kmsg.ProduceRequestTopicPartition) bool { return bytes.Contains(p.Records, []byte(text)) }
}

// setUp starts a kfake with topic t of one partition and a sink on it.
func setUp(t *testing.T, cfg kafka.Config) (*kafkatest.FakeBroker, *kafka.Sink) {
	t.Helper()
	b := kafkatest.Fake(t)
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	s := open(t, b.Addrs(), cfg)
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	return b, s
}

func recordsOf(values ...string) []sink.Record {
	out := make([]sink.Record, len(values))
	for i, v := range values {
		out[i] = sink.Record{Topic: "t", Key: []byte("k"), Value: []byte(v)}
	}
	return out
}

func valuesOf(records []sink.Record) string {
	values := make([]string, len(records))
	for i, r := range records {
		values[i] = string(r.Value)
	}
	return strings.Join(values, " ")
}

// patient bounds a write so that a stuck one fails rather than hangs.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// indexes of the failed records of err, those failed for good, and whether err
// is about records at all.
func verdict(err error) (failed, permanent []int, partial bool) {
	var b *sink.BatchError
	if !errors.As(err, &b) {
		return nil, nil, false
	}
	for i, why := range b.Failed {
		failed = append(failed, i)
		if sink.IsPermanent(why) {
			permanent = append(permanent, i)
		}
	}
	slices.Sort(failed)
	slices.Sort(permanent)
	return failed, permanent, true
}

func TestOneRecordIsToBlameForARefusedBatch(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.InvalidRecord, kerr.MessageTooLarge} {
		t.Run(code.Message, func(t *testing.T) {
			b, s := setUp(t, kafka.Config{})
			refuse(b, code, holding("poison"))
			err := s.Write(patient(t), recordsOf("0", "1", "2", "poison", "4", "5", "6"))
			failed, permanent, _ := verdict(err)
			if !slices.Equal(permanent, []int{3}) || !slices.Equal(failed, []int{3, 4, 5, 6}) {
				t.Fatalf("failed %v, for good %v: %v", failed, permanent, err)
			}
			if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1 2" {
				t.Errorf("the topic has %q", got)
			}
			if err := s.Write(patient(t), recordsOf("4", "5", "6")); err != nil {
				t.Errorf("the rest: %v", err)
			}
			if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1 2 4 5 6" {
				t.Errorf("the topic has %q", got)
			}
		})
	}
}

// TestTransientCodesHoldTheLine has the broker answer once with an error that
// says nothing against the record. The same write must succeed thereafter.
func TestTransientCodesHoldTheLine(t *testing.T) {
	for _, code := range []*kerr.Error{
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation,
		kerr.UnsupportedVersion, kerr.CorruptMessage, kerr.InvalidRequiredAcks,
		kerr.UnsupportedForMessageFormat, kerr.InvalidTopicException, kerr.UnknownServerError,
	} {
		t.Run(code.Message, func(t *testing.T) {
			b, s := setUp(t, kafka.Config{})
			refuse(b, code, times(1))
			err := s.Write(patient(t), recordsOf("0", "1"))
			if err == nil || sink.IsPermanent(err) || !errors.Is(err, code) {
				t.Fatalf("got %v, want a transient %v", err, code)
			}
			if err := s.Write(patient(t), recordsOf("0", "1")); err != nil {
				t.Fatalf("the second time: %v", err)
			}
			if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1" {
				t.Errorf("the topic has %q", got)
			}
		})
	}
}

// TestRetriableCodesStayInside answers with what the client mends by itself.
func TestRetriableCodesStayInside(t *testing.T) {
	for _, code := range []*kerr.Error{
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch,
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition,
	} {
		t.Run(code.Message, func(t *testing.T) {
			b, s := setUp(t, kafka.Config{})
			if err := s.Write(patient(t), recordsOf("0")); err != nil {
				t.Fatal(err)
			}
			refuse(b, code, times(1))
			if err := s.Write(patient(t), recordsOf("1", "2")); err != nil {
				t.Fatal(err)
			}
			if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1 2" {
				t.Errorf("the topic has %q", got)
			}
		})
	}
}

// TestAClockFaultIsRestamped has the broker refuse timestamps, first the
// spooled ones, then the host's own idea of now.
func TestAClockFaultIsRestamped(t *testing.T) {
	spooled := time.Now().Add(-72 * time.Hour).Truncate(time.Millisecond)
	for refusals, check := range map[int32]func(time.Time) bool{
		0: spooled.Equal,
		1: func(at time.Time) bool { return time.Since(at).Abs() < time.Hour },
		2: time.UnixMilli(-1).Equal,
	} {
		b, s := setUp(t, kafka.Config{})
		refuse(b, kerr.InvalidTimestamp, times(refusals))
		batch := recordsOf("0", "1")
		batch[0].Time, batch[1].Time = spooled, spooled
		if err := s.Write(patient(t), batch); err != nil {
			t.Fatalf("%d refusals: %v", refusals, err)
		}
		got := read(t, b.Addrs(), "t")
		if valuesOf(got) != "0 1" || !check(got[0].Time) || !check(got[1].Time) {
			t.Errorf("%d refusals: the topic has %v", refusals, got)
		}
		if n := s.Restamped(); n != 2*uint64(refusals) {
			t.Errorf("%d refusals: counted %d", refusals, n)
		}
	}
}

func TestTimestampsRefusedForEverAreTransient(t *testing.T) {
	b, s := setUp(t, kafka.Config{})
	refuse(b, kerr.InvalidTimestamp, times(1<<30))
	err := s.Write(patient(t), recordsOf("0", "1"))
	if !errors.Is(err, kerr.InvalidTimestamp) || sink.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// TestARefusedProducerIDHeals covers a state that a client never leaves by
// itself: with a new client per trouble of that kind, the sink does.
func TestARefusedProducerIDHeals(t *testing.T) {
	b, s := setUp(t, kafka.Config{})
	b.ControlKey(initProducerIDKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	if err := s.Write(patient(t), recordsOf("0")); !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Fatalf("got %v", err)
	}
	if err := s.Write(patient(t), recordsOf("0")); err != nil {
		t.Fatalf("the second time: %v", err)
	}
}

func TestAMissingTopicHoldsTheLine(t *testing.T) {
	b := kafkatest.Fake(t)
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	err := s.Write(patient(t), recordsOf("0", "1"))
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || sink.IsPermanent(err) || !strings.Contains(err.Error(), `"t"`) {
		t.Fatalf("got %v", err)
	}
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	if err := s.Write(patient(t), recordsOf("0", "1")); err != nil {
		t.Fatal(err)
	}
	if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 1" {
		t.Errorf("the topic has %q", got)
	}
}

func TestOnlyTheFailedPartitionIsNamed(t *testing.T) {
	b, s := setUp(t, kafka.Config{})
	batch := recordsOf("0", "bad", "2", "bad", "4")
	for _, i := range []int{1, 3} {
		batch[i].Topic = "missing"
	}
	failed, permanent, partial := verdict(s.Write(patient(t), batch))
	if !partial || !slices.Equal(failed, []int{1, 3}) || len(permanent) != 0 {
		t.Errorf("failed %v, for good %v", failed, permanent)
	}
	if got := valuesOf(read(t, b.Addrs(), "t")); got != "0 2 4" {
		t.Errorf("the topic has %q", got)
	}
}

// TestAnUnansweredRequestIsLetGo has the broker take a batch and never say so:
// Write ends with its context all the same, and the next one gets through.
func TestAnUnansweredRequestIsLetGo(t *testing.T) {
	b, s := setUp(t, kafka.Config{})
	if err := s.Write(patient(t), recordsOf("0")); err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{})
	b.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		b.SleepControl(func() { <-silent })
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, recordsOf("1", "2")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	close(silent)
	if err := s.Write(patient(t), recordsOf("1", "2")); err != nil {
		t.Fatal(err)
	}
	if got := valuesOf(read(t, b.Addrs(), "t")); !strings.HasPrefix(got, "0 1 2") {
		t.Errorf("the topic has %q", got)
	}
}

// TestALeaderThatMovesIsFollowed writes while another broker becomes the
// partition's leader, again and again: nothing is lost, in order, and repeats are
// only those of a batch whose answer was lost.
func TestALeaderThatMovesIsFollowed(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := open(t, c.ListenAddrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	var want []string
	for i := range 30 {
		if i%3 == 0 {
			if err := c.MoveTopicPartition("t", 0, int32(i/3%3)); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, fmt.Sprint(i))
		if err := s.Write(patient(t), recordsOf(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range read(t, c.ListenAddrs(), "t") {
		if v := string(r.Value); len(got) == 0 || got[len(got)-1] != v {
			got = append(got, v)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the topic has %v", got)
	}
}
