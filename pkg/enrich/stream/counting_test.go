package stream_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// counter numbers each host's rows. A row that is lost, comes twice, or meets a
// state of another time gives a number that is out of line. As operators do, it
// holds what it put.
type counter struct {
	state enrich.State
	held  map[enrich.Host]uint64
}

func (c *counter) OnEvent(e *enrich.Event, out *enrich.Out) error {
	n, ok := c.held[e.Host]
	if !ok {
		value, err := c.state.Get(e.Host, []byte("count"))
		if err != nil {
			return err
		}
		if value != nil {
			n = binary.BigEndian.Uint64(value)
		}
	}
	n++
	c.held[e.Host] = n
	if err := c.state.Put(e.Host, []byte("count"), binary.BigEndian.AppendUint64(nil, n)); err != nil {
		return err
	}
	column, _ := e.Column("n")
	value := fmt.Appendf(nil, `{"host":%q,"count":%d,"n":%q}`, e.Host, n, column.Text())
	out.Add(enrich.Output{Stream: enrich.Findings, Key: []byte(e.Host), Value: value, ID: e.ID, Kind: "count", Schema: "count"})
	if strings.Contains(column.Text(), "panic") {
		panic("as the row says")
	}
	return nil
}

func (*counter) OnSide(*enrich.Side, *enrich.Out) error           { return nil }
func (*counter) OnTime(enrich.Host, time.Time, *enrich.Out) error { return nil }

const counts = "counts"

// counting is a job that numbers the rows of each host, to the topic counts.
func counting(log io.Writer) stream.Job {
	return stream.Job{
		Build: func(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
			op := &counter{state("counter"), map[enrich.Host]uint64{}}
			return enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, nil), nil
		},
		InputGap: func(p stream.Partition, from, to int64) []enrich.Output {
			value := fmt.Appendf(nil, `{"gap":"%s/%d","from":%d,"to":%d}`, p.Topic, p.ID, from, to)
			return []enrich.Output{{Stream: enrich.Findings, Key: []byte("gap"), Value: value, ID: "gap", Kind: "gap"}}
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// countsOf reads the numbers that came out: for each host want of them, in line.
func checkCounts(t *testing.T, cfg stream.KafkaConfig, hosts, want int) {
	t.Helper()
	next := map[string]uint64{}
	for _, r := range collect(t, cfg, counts, hosts*want) {
		var v struct {
			Host, Gap string
			Count     uint64
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if v.Gap != "" {
			t.Errorf("a gap nobody made: %s", r.Value)
			continue
		}
		if next[v.Host]++; v.Count != next[v.Host] {
			t.Fatalf("%s: number %d came where %d was due: %s", v.Host, v.Count, next[v.Host], r.Value)
		}
	}
	for h := range hosts {
		if got := next[fmt.Sprintf("host-%02d", h)]; got != uint64(want) {
			t.Errorf("host-%02d: %d rows were counted, want %d", h, got, want)
		}
	}
}

// quick are connection options for tests in which members and transactions die.
func quick() []kgo.Opt {
	return []kgo.Opt{
		kgo.SessionTimeout(1500 * time.Millisecond), kgo.HeartbeatInterval(200 * time.Millisecond),
	}
}
