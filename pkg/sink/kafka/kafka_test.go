package kafka_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// broker is what a harness needs of a kafkatest broker, real or not.
type broker interface {
	Addrs() []string
	Start(t testing.TB)
}

func harness(b broker, stop func(testing.TB), cfg kafka.Config) sinktest.Harness {
	var topics atomic.Int32
	return sinktest.Harness{
		Open: func(t testing.TB) sink.Sink { return open(t, b.Addrs(), cfg) },
		Topic: func(t testing.TB) string {
			name := fmt.Sprintf("topic-%d", topics.Add(1))
			kafkatest.CreateTopic(t, b.Addrs(), name, 3, nil)
			return name
		},
		Read:     func(t testing.TB, topic string) []sink.Record { return read(t, b.Addrs(), topic) },
		Oversize: 2 << 20, // over the broker's default limit, under the sink's
		Stop:     stop,
		Start:    b.Start,
	}
}

func open(t testing.TB, addrs []string, cfg kafka.Config) *kafka.Sink {
	t.Helper()
	cfg.Options = append([]kgo.Opt{kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(50 * time.Millisecond)}, cfg.Options...)
	s, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read returns what is in a topic in the sink's terms.
func read(t testing.TB, addrs []string, topic string) []sink.Record {
	t.Helper()
	var out []sink.Record
	for _, r := range kafkatest.Read(t, addrs, topic) {
		rec := sink.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: r.Timestamp}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, sink.Header{Key: h.Key, Value: h.Value})
		}
		out = append(out, rec)
	}
	return out
}

func TestConformanceOnFake(t *testing.T) {
	b := kafkatest.Fake(t)
	sinktest.Run(t, harness(b, b.Stop, kafka.Config{}))
}
