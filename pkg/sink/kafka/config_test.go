package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
)

func TestNewRefusesWhatCannotBe(t *testing.T) {
	for want, cfg := range map[string]kafka.Config{
		`compression "brotli"`: {Compression: "brotli"},
		"batch bytes -1":       {BatchBytes: -1},
		"max record bytes":     {MaxRecordBytes: 1 << 30},
		"request timeout 1ns":  {RequestTimeout: 1},
		"kafka: ":              {Options: []kgo.Opt{kgo.MaxBufferedRecords(0)}},
	} {
		if _, err := kafka.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNewDoesNotTouchTheNetwork also sees, through TestMain, that New starts
// nothing.
func TestNewDoesNotTouchTheNetwork(t *testing.T) {
	dials := new(atomic.Int32)
	s, err := kafka.New(kafka.Config{Options: []kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:1"),
		kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, fmt.Errorf("no network")
		}),
	}})
	if err != nil || dials.Load() != 0 {
		t.Fatalf("%v, %d dials", err, dials.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = s.Write(ctx, recordsOf("0"))
	if err == nil || dials.Load() == 0 || !strings.Contains(err.Error(), "no network") {
		t.Errorf("after %d dials: %v, want the reason told", dials.Load(), err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Write(t.Context(), recordsOf("0")); err == nil {
		t.Error("a closed sink wrote")
	}
}

func TestEveryCodec(t *testing.T) {
	b := kafkatest.Fake(t)
	for _, codec := range []string{"", "none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "t-" + codec
		kafkatest.CreateTopic(t, b.Addrs(), topic, 1, nil)
		s := open(t, b.Addrs(), kafka.Config{Compression: codec})
		batch := recordsOf(strings.Repeat("a", 10_000), "b")
		for i := range batch {
			batch[i].Topic = topic
		}
		if err := s.Write(patient(t), batch); err != nil {
			t.Errorf("%q: %v", codec, err)
		}
		_ = s.Close(t.Context())
		if got := read(t, b.Addrs(), topic); valuesOf(got) != valuesOf(batch) {
			t.Errorf("%q: %d records came back changed", codec, len(got))
		}
	}
}

// TestLargeRecordsGoWhereTheBrokerAllows writes records over the client's usual
// 1 MB: the broker's limit decides, and it counts after compression.
func TestLargeRecordsGoWhereTheBrokerAllows(t *testing.T) {
	b := kafkatest.Fake(t)
	kafkatest.CreateTopic(t, b.Addrs(), "default", 1, nil)
	kafkatest.CreateTopic(t, b.Addrs(), "large", 1, map[string]string{"max.message.bytes": "5000000"})
	value := bytes.Repeat([]byte("large "), 500_000)
	tests := []struct {
		topic string
		cfg   kafka.Config
		ok    bool
	}{
		{"large", kafka.Config{}, true},
		{"default", kafka.Config{Compression: "zstd"}, true},
		{"default", kafka.Config{}, false},
		{"large", kafka.Config{MaxRecordBytes: 1_000_000}, false},
	}
	for _, tt := range tests {
		s := open(t, b.Addrs(), tt.cfg)
		err := s.Write(patient(t), []sink.Record{{Topic: tt.topic, Key: []byte("k"), Value: value}})
		_ = s.Close(t.Context())
		if _, permanent, _ := verdict(err); (err == nil) != tt.ok || len(permanent) > 0 == tt.ok {
			t.Errorf("%s, %+v: %v", tt.topic, tt.cfg, err)
		}
	}
	for _, topic := range []string{"large", "default"} {
		if got := read(t, b.Addrs(), topic); len(got) != 1 || !bytes.Equal(got[0].Value, value) {
			t.Errorf("%s has %d records", topic, len(got))
		}
	}
}

// TestBatchesStayUnderTheirBound sees each produce request as the broker does.
func TestBatchesStayUnderTheirBound(t *testing.T) {
	const bound = 20_000
	b, s := setUp(t, kafka.Config{BatchBytes: bound})
	var requests, largest atomic.Int64
	b.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		requests.Add(1)
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				largest.Store(max(largest.Load(), int64(len(p.Records))))
			}
		}
		return nil, nil, false
	})
	var values []string
	for i := range 500 {
		values = append(values, strings.Repeat(fmt.Sprint(i%10), 100+i))
	}
	batch := recordsOf(values...)
	batch[7].Headers = []sink.Header{{Key: "h", Value: make([]byte, 15_000)}}
	if err := s.Write(patient(t), batch); err != nil {
		t.Fatal(err)
	}
	if largest.Load() > bound || largest.Load() < bound/2 || requests.Load() > 20 {
		t.Errorf("%d requests, the largest batch %d bytes of %d", requests.Load(), largest.Load(), bound)
	}
	if got := read(t, b.Addrs(), "t"); valuesOf(got) != valuesOf(batch) {
		t.Errorf("%d records came back, or in another order", len(got))
	}
}

// TestKeysChoosePartitionsAsKafkaDoes uses the hashes in Kafka's own UtilsTest.
func TestKeysChoosePartitionsAsKafkaDoes(t *testing.T) {
	const partitions = 10
	b := kafkatest.Fake(t)
	kafkatest.CreateTopic(t, b.Addrs(), "t", partitions, nil)
	s := open(t, b.Addrs(), kafka.Config{})
	defer func() { _ = s.Close(t.Context()) }()
	murmur2 := map[string]int32{
		"21": -973932308, "foobar": -790332482, "abc": 479470107,
		"a-little-bit-long-string":                         -985981536,
		"a-little-bit-longer-string":                       -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	}
	for key := range murmur2 {
		if err := s.Write(patient(t), []sink.Record{{Topic: "t", Key: []byte(key)}}); err != nil {
			t.Fatal(err)
		}
	}
	got := kafkatest.Read(t, b.Addrs(), "t")
	if len(got) != len(murmur2) {
		t.Fatalf("%d records", len(got))
	}
	for _, r := range got {
		if want := (murmur2[string(r.Key)] & 0x7fffffff) % partitions; r.Partition != want {
			t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
		}
	}
}

func TestNullsStayNulls(t *testing.T) {
	b, s := setUp(t, kafka.Config{})
	batch := []sink.Record{
		{Topic: "t", Key: nil, Value: nil},
		{Topic: "t", Key: []byte{}, Value: []byte{}},
	}
	if err := s.Write(patient(t), batch); err != nil {
		t.Fatal(err)
	}
	got := kafkatest.Read(t, b.Addrs(), "t")
	if len(got) != 2 || got[0].Key != nil || got[0].Value != nil || got[1].Key == nil || got[1].Value == nil {
		t.Errorf("got %+v", got)
	}
}

// TestOneClientServesManyWrites counts connections: a quiet host must not
// connect anew for each batch.
func TestOneClientServesManyWrites(t *testing.T) {
	var dials atomic.Int32
	dialer := &net.Dialer{}
	_, s := setUp(t, kafka.Config{Options: []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return dialer.DialContext(ctx, network, addr)
	})}})
	for i := range 50 {
		if err := s.Write(patient(t), recordsOf(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := dials.Load(); n > 3 {
		t.Errorf("%d connections for 50 writes, want at most 3", n)
	}
}
