package stream_test

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// sender sends each row on as a side record: one by the key of its host, one to the
// partition that the row's n names.
type sender struct{}

func (sender) Again(*enrich.Input, func(*enrich.Call) error) (bool, error) { return true, nil }

func (sender) Route(in *enrich.Input, _ func(*enrich.Call) error, out *enrich.Out) (bool, error) {
	var row event.Row
	if err := row.Parse(in.Value); err != nil {
		return false, err
	}
	n, _ := row.Column("n")
	named, _ := n.Int()
	for _, partition := range []int32{enrich.ByKey, int32(named % partitions)} {
		s := enrich.Side{Host: enrich.Host(row.HostIdentifier.Text()), Kind: enrich.SideRow, Value: in.Value, Source: in.Position.String(), Position: in.Position}
		o, err := s.Output(partition)
		if err != nil {
			return false, err
		}
		o.ID += "/" + n.Text()
		if partition == enrich.ByKey {
			o.ID = "key/" + o.ID
		}
		out.Add(o)
	}
	return true, nil
}

// A side record goes to the partition that it names, or to the one in which a producer
// of the default kind puts rows of that key; and is read there as what is in it.
func TestSideRecordsGoWhereTheyAreSent(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	const side, hosts, rows = "g.side", 8, 12
	kafkatest.CreateTopic(t, c.ListenAddrs(), side, partitions, nil)
	cfg.Outputs[enrich.Sides] = side
	produce(t, cfg, hosts, 0, rows)
	running(t, cfg, 1, stream.Job{
		Build: func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error) {
			p := enrich.NewPipeline(event.NewLenses(), nil, nil)
			p.Route(sender{})
			return p, nil
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	of := map[string]int32{}
	for _, r := range collect(t, cfg, in, 0) {
		of[string(r.Key)] = r.Partition
	}
	for _, r := range collect(t, cfg, side, 2*hosts*rows) {
		s, err := enrich.ReadSide(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if r.Key != nil && r.Partition != of[string(s.Host)] {
			t.Errorf("%s: partition %d, its rows are in %d", s.Host, r.Partition, of[string(s.Host)])
		}
		var row event.Row
		if err := row.Parse(s.Value); err != nil {
			t.Fatal(err)
		}
		n, _ := row.Column("n")
		if named, _ := n.Int(); r.Key == nil && r.Partition != int32(named%partitions) {
			t.Errorf("row %d is in partition %d", named, r.Partition)
		}
	}
	second := cfg
	second.Group, second.StateTopic, second.Inputs, second.Side = "second", "second.state", []string{side}, side
	kafkatest.CreateTopic(t, c.ListenAddrs(), second.StateTopic, partitions, map[string]string{"cleanup.policy": "compact"})
	second.Connection = append([]kgo.Opt(nil), cfg.Connection...)
	running(t, second, 2, counting(io.Discard))
	got := 0
	for deadline := time.Now().Add(time.Minute); got < 2*hosts*rows && time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		got = len(committed(t, c.ListenAddrs(), counts))
	}
	if got != 2*hosts*rows {
		t.Errorf("%d rows were taken, want %d", got, 2*hosts*rows)
	}
}
