//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// Bad input: a host whose clock is two hours ahead loses nothing, neither to a
// topic with the broker's time nor to one whose broker refuses times that are an
// hour ahead.
func TestAHostTwoHoursAheadLosesNothing(t *testing.T) {
	broker := kafkatest.Real(t)
	kafkatest.CreateTopic(t, broker.Addrs(), "clock.state", 4, map[string]string{"cleanup.policy": "compact"})
	for i, topic := range topics() {
		kind := []string{"LogAppendTime", "CreateTime"}[i%2]
		kafkatest.CreateTopic(t, broker.Addrs(), topic, 4, map[string]string{"message.timestamp.type": kind})
	}
	const rows = 500
	dir := t.TempDir()
	s, err := spool.Open(t.Context(), spool.Config{Dir: dir, MinFree: -1, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range rows {
		line := osqueryd.Line{Name: "q", HostIdentifier: "ahead", Time: time.Now().Add(2 * time.Hour)}.Event("added", osqueryd.Row{"i": i})
		for _, stream := range []string{extension.StreamResults, "created"} {
			if _, err := s.Append(t.Context(), spool.Call{Stream: stream, Type: extension.TypeString, Payload: []byte(line)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	destination, err := kafka.New(kafka.Config{Options: []kgo.Opt{kgo.SeedBrokers(broker.Addrs()...)}})
	if err != nil {
		t.Fatal(err)
	}
	defer destination.Close(context.Background())
	source := shipper.New(s, shipper.Config{
		// The second topic is one with the hosts' time: Kafka refuses what is an hour ahead there.
		Topics:     map[string]string{extension.StreamResults: "osquery.results", "created": "osquery.status"},
		DeadLetter: "osquery.deadletter", Key: shipper.ByAgent, MaxRecordBytes: 1_000_000, OsqueryVersion: func() string { return "" },
		Attic: &shipper.Attic{Dir: dir + "/oversized"}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s.Stats().Calls > 0 {
		b, err := source.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Ack(sink.Retry(destination, sink.RetryConfig{DeadLetter: source.Refused}).Write(ctx, b.Records)); err != nil {
			t.Fatal(err)
		}
	}
	enricher(t, programs(t), broker.Addrs()[0], "clock")
	for _, topic := range []string{"osquery.results", "osquery.status", "osquery.enriched"} {
		names := map[string]bool{}
		for _, r := range consume(t, broker.Addrs()[0], topic, rows) {
			id := header(r, "id")
			if id == "" {
				id = fmt.Sprint(header(r, "seq"), "/", header(r, "row"))
			}
			names[id] = true
		}
		if len(names) != rows {
			t.Errorf("%s: %d rows, want %d", topic, len(names), rows)
		}
	}
}
