package stream_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// forgetter deletes a fact for each row.
type forgetter struct{}

func (forgetter) Route(in *enrich.Input, _ func(*enrich.Call) error, out *enrich.Out) (bool, error) {
	out.Add(enrich.Output{Stream: enrich.Facts, Key: in.Key, ID: in.Position.String()})
	return true, nil
}

func (forgetter) Again(*enrich.Input, func(*enrich.Call) error) (bool, error) { return true, nil }

// A fact that is deleted is a record without a value, as compaction wants it.
func TestADeletedFactIsATombstone(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	const facts, hosts, rows = "g.facts", 2, 3
	kafkatest.CreateTopic(t, c.ListenAddrs(), facts, 1, map[string]string{"cleanup.policy": "compact"})
	cfg.Outputs[enrich.Facts] = facts
	produce(t, cfg, hosts, 0, rows)
	running(t, cfg, 1, stream.Job{
		Build: func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error) {
			p := enrich.NewPipeline(event.NewLenses(), nil, nil)
			p.Route(forgetter{})
			return p, nil
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	for _, r := range collect(t, cfg, facts, hosts*rows) {
		if r.Value != nil || len(r.Key) == 0 {
			t.Errorf("key %q, value %q", r.Key, r.Value)
		}
	}
}
