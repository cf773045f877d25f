package stream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

const (
	mergedRows = "merged.rows"
	mergedSide = "merged.side"
	mergedHost = "host-00"
)

// stampedByBroker makes a batch one that the broker is to date: kfake looks at the batch's
// attributes where Kafka looks at the topic's message.timestamp.type.
func stampedByBroker(batch []byte) {
	const crc, attributes, byBroker = 17, 21, 1 << 3 // of a batch of version 2
	batch[attributes+1] |= byBroker
	sum := crc32.Checksum(batch[attributes:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(batch[crc:], sum)
}

// merging is the configuration of a group that reads rows and side records, whose
// brokers say when each was appended, and a client to write them.
func merging(t *testing.T) (stream.KafkaConfig, *kgo.Client) {
	t.Helper()
	c, cfg := cluster(t)
	stamped := map[string]bool{mergedRows: true, mergedSide: true}
	ids := map[[16]byte]bool{}
	for topic := range stamped {
		kafkatest.CreateTopic(t, c.ListenAddrs(), topic, partitions, nil)
		ids[c.TopicInfo(topic).TopicID] = true
	}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				if stamped[topic.Topic] || ids[topic.TopicID] {
					stampedByBroker(p.Records)
				}
			}
		}
		return nil, nil, false
	})
	cfg.Connection = append(cfg.Connection, kgo.DisableFetchCRCValidation()) // kfake leaves the sum as it was
	cfg.Inputs, cfg.Side = []string{mergedRows, mergedSide}, mergedSide
	return cfg, kafkatest.Client(t, c.ListenAddrs())
}

// sideRow is row as a side record.
func sideRow(t *testing.T, n int) *kgo.Record {
	t.Helper()
	value := []byte(row(mergedHost, n))
	s := enrich.Side{Host: mergedHost, Kind: enrich.SideRow, Value: value, Source: fmt.Sprintf("side/%d", n), Position: enrich.Position{Topic: "elsewhere", Offset: int64(n)}}
	o, err := s.Output(enrich.ByKey)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: mergedSide, Key: o.Key, Value: o.Value}
}

func plainRow(n int) *kgo.Record {
	return &kgo.Record{Topic: mergedRows, Key: []byte(mergedHost), Value: []byte(row(mergedHost, n))}
}

func write(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// undecided is a transaction that holds a record and is not ended.
func undecided(t *testing.T, cfg stream.KafkaConfig, r *kgo.Record) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(cfg.Connection[:len(cfg.Connection):len(cfg.Connection)], kgo.TransactionalID("another stage"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	write(t, client, r)
	return client
}

func brokersOf(client *kgo.Client) []string { return client.OptValue(kgo.SeedBrokers).([]string) }

// numbers are the rows that came out, in their order.
func numbers(t *testing.T, cfg stream.KafkaConfig, want int) (got []int) {
	t.Helper()
	for _, r := range collect(t, cfg, counts, want) {
		got = append(got, numberOf(t, r))
	}
	return got
}

func numberOf(t *testing.T, r *kgo.Record) (n int) {
	t.Helper()
	var v struct{ N string }
	if err := json.Unmarshal(r.Value, &v); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(v.N, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// DESIGN 6.1: a worker merges its two topics by append time, and waits until the other is
// read to its high watermark: what was appended before a row is taken before it, though
// its transaction ends long after.
func TestRowsWaitForWhatTheOtherTopicHolds(t *testing.T) {
	t.Parallel()
	cfg, client := merging(t)
	cfg = stream.Patient(cfg, time.Minute)
	write(t, client, plainRow(0))
	runs(t, cfg, 1)
	numbers(t, cfg, 1) // it is at work
	other := undecided(t, cfg, sideRow(t, 1))
	time.Sleep(5 * time.Millisecond) // append times are in milliseconds
	write(t, client, plainRow(2), plainRow(3))
	time.Sleep(1500 * time.Millisecond) // three times what a transaction gathers for
	if got := committed(t, brokersOf(client), counts); len(got) != 1 {
		t.Errorf("%d rows came out of a topic that had to wait", len(got)-1)
	}
	if err := other.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, cfg, 4); fmt.Sprint(got) != "[0 1 2 3]" {
		t.Errorf("came out as %v", got)
	}
}

// Somebody who died with a transaction open holds up the side topic until the broker ends
// it. The hosts' own rows go on.
func TestATopicThatBringsNothingIsNotWaitedForForLong(t *testing.T) {
	t.Parallel()
	cfg, client := merging(t)
	cfg = stream.Patient(cfg, 200*time.Millisecond)
	other := undecided(t, cfg, sideRow(t, 0))
	time.Sleep(5 * time.Millisecond)
	write(t, client, plainRow(1), plainRow(2))
	runs(t, cfg, 1)
	for deadline := time.Now().Add(30 * time.Second); len(committed(t, brokersOf(client), counts)) < 2; <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("rows wait for a transaction that nobody ends")
		}
	}
	if err := other.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, cfg, 3); fmt.Sprint(got) != "[1 2 0]" {
		t.Errorf("came out as %v", got)
	}
}

// Two topics with a backlog, in transactions much smaller than it: the order is that in
// which all was appended, however unevenly it lies, and a topic that is far ahead of the
// other is not taken into memory.
func TestABacklogIsMergedByWhenItWasAppended(t *testing.T) {
	t.Parallel()
	cfg, client := merging(t)
	cfg = stream.Small(stream.Patient(cfg, time.Minute))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n := 0
	for range 30 {
		side, burst := rng.IntN(2) == 0, 1+rng.IntN(120)
		records := make([]*kgo.Record, burst)
		for i := range records {
			if records[i] = plainRow(n); side {
				records[i] = sideRow(t, n)
			}
			n++
		}
		write(t, client, records...)
		time.Sleep(3 * time.Millisecond)
	}
	runs(t, cfg, 1)
	for due, got := range numbers(t, cfg, n) {
		if got != due {
			t.Fatalf("row %d came where %d was due", got, due)
		}
	}
}

// A topic that is far ahead of the other is not taken into memory meanwhile, and goes on
// when the other has come that far.
func TestATopicFarAheadOfTheOtherIsFetchedLater(t *testing.T) {
	t.Parallel()
	cfg, client := merging(t)
	cfg = stream.Small(stream.Patient(cfg, time.Minute))
	const before, large, size = 3000, 40, 900_000 // more than twice what is held
	side := make([]*kgo.Record, before)
	for n := range side {
		side[n] = sideRow(t, n)
	}
	write(t, client, side...)
	time.Sleep(3 * time.Millisecond)
	for n := before; n < before+large; n++ {
		r := plainRow(n)
		r.Value = append(r.Value, bytes.Repeat([]byte{' '}, size)...)
		write(t, client, r)
	}
	runs(t, cfg, 1)
	for due, got := range numbers(t, cfg, before+large) {
		if got != due {
			t.Fatalf("row %d came where %d was due", got, due)
		}
	}
}
