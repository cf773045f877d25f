package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// Several inputs are one partition of the join: a host's rows of all of them meet
// one state, and each topic's stay in order.
func TestSeveralInputsMeetOneState(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	const hosts, rows, second = 4, 40, "osquery.more"
	kafkatest.CreateTopic(t, c.ListenAddrs(), second, partitions, nil)
	cfg.Inputs = []string{in, second}
	stopFirst := runs(t, cfg, 2)
	produce(t, cfg, hosts, 0, rows/2)
	client := kafkatest.Client(t, c.ListenAddrs())
	for n := range rows / 2 {
		for h := range hosts {
			host := fmt.Sprintf("host-%02d", h)
			client.Produce(t.Context(), &kgo.Record{Topic: second, Key: []byte(host), Value: []byte(row(host, n))}, nil)
		}
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, cfg, hosts, rows)
	if err := stopFirst(); err != nil {
		t.Error(err)
	}
	last := map[string]int{}
	for _, r := range collect(t, cfg, counts, hosts*rows) {
		var v struct{ Host, N string }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		topic, _, _ := strings.Cut(idOf(r), "/")
		var n int
		fmt.Sscan(v.N, &n)
		if key := topic + v.Host; n != last[key] {
			t.Fatalf("%s: row %d of %s came where %d was due", v.Host, n, topic, last[key])
		} else {
			last[key]++
		}
	}
}

// Without transactions a restart goes on with the state and the offsets of the
// last commit.
func TestAtLeastOnceKeepsItsState(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	cfg.ExactlyOnce = false
	produce(t, cfg, 4, 0, 30)
	stop := runs(t, cfg, 1)
	checkCounts(t, cfg, 4, 30)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	runs(t, cfg, 2)
	produce(t, cfg, 4, 30, 50)
	checkCounts(t, cfg, 4, 50)
}
