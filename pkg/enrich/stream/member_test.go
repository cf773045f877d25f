package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// The group gives a member up while its transaction is under way: nobody answers the
// question whether it is still one, and it must not wait for that for ever.
func TestAMemberGivenUpInATransactionComesBack(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	cfg = stream.Hurried(cfg)
	const hosts, rows = 4, 40
	var armed, lost atomic.Bool
	refused := make(chan struct{})
	c.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !armed.Load() || lost.Swap(true) {
			return nil, nil, false
		}
		close(refused)
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if req.(*kmsg.ProduceRequest).TransactionID != nil && !armed.Swap(true) {
			c.SleepControl(func() {
				<-refused
				<-time.After(300 * time.Millisecond) // for the client to hear of it
			})
		}
		return nil, nil, false
	})
	produce(t, cfg, hosts, 0, rows)
	runs(t, cfg, 1)
	checkCounts(t, cfg, hosts, rows)
	if !lost.Load() {
		t.Error("the member was never given up: the test shows nothing")
	}
}

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
