package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

const (
	in         = "osquery.results"
	out        = "osquery.enriched"
	dead       = "osquery.deadletter"
	states     = "enricher.state"
	partitions = 4
)

func cluster(t *testing.T) (*kfake.Cluster, stream.KafkaConfig) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, in, out, dead, counts), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	kafkatest.CreateTopic(t, c.ListenAddrs(), states, partitions, map[string]string{"cleanup.policy": "compact"})
	cfg := config(c.ListenAddrs())
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	return c, cfg
}

func produce(t *testing.T, cfg stream.KafkaConfig, hosts, from, to int) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Connection...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for n := from; n < to; n++ {
		for h := range hosts {
			host := fmt.Sprintf("host-%02d", h)
			records = append(records, &kgo.Record{Topic: in, Key: []byte(host), Value: []byte(row(host, n))})
		}
	}
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// running starts the sessions; the function it returns stops them and waits.
func running(t *testing.T, cfg stream.KafkaConfig, n int, job stream.Job) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stream.RunKafka(ctx, cfg, n, job) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sessions ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// begun returns once something came out.
func begun(t *testing.T, brokers []string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(committed(t, brokers, out)) == 0; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing comes out")
		}
	}
}

// check wants each of the rows 0 to n of each host once and in order.
func check(t *testing.T, records []*kgo.Record, hosts, n int) {
	t.Helper()
	next := map[string]int{}
	for _, r := range records {
		var v struct {
			Columns    struct{ N string }
			Enrichment struct{ Event struct{ ID string } }
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatalf("%v in %s", err, r.Value)
		}
		if want := fmt.Sprint(next[string(r.Key)]); v.Columns.N != want {
			t.Fatalf("%s: row %s came where %s was due", r.Key, v.Columns.N, want)
		}
		next[string(r.Key)]++
	}
	for h := range hosts {
		if got := next[fmt.Sprintf("host-%02d", h)]; got != n {
			t.Errorf("host-%02d: %d rows, want %d", h, got, n)
		}
	}
}

// Promises 4 and 5: exactly once and in order per host, while members come and
// go.
func TestExactlyOnceAcrossRebalancesAndRestarts(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	const hosts, rows = 8, 600
	produce(t, cfg, hosts, 0, rows/3)
	stopFirst := running(t, cfg, 1, job())
	begun(t, c.ListenAddrs())
	running(t, cfg, 2, job())
	produce(t, cfg, hosts, rows/3, 2*rows/3)
	stopFirst()
	produce(t, cfg, hosts, 2*rows/3, rows)
	check(t, collect(t, cfg, out, hosts*rows), hosts, rows)
}

// An aborted transaction leaves nothing behind and loses nothing.
func TestRefusedOutputIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, exactlyOnce := range map[string]bool{"exactly_once": true, "at_least_once": false} {
		t.Run(name, func(t *testing.T) {
			c, cfg := cluster(t)
			cfg.ExactlyOnce = exactlyOnce
			produce(t, cfg, 2, 0, 50)
			var refused atomic.Int32
			c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				produce, ok := req.(*kmsg.ProduceRequest)
				if !ok || refused.Add(1) > 2 {
					return nil, nil, false
				}
				c.KeepControl()
				return refuse(produce, kerr.InvalidRecord), nil, true
			})
			running(t, cfg, 1, job())
			got := collect(t, cfg, out, 100)
			if !exactlyOnce { // what one partition took may come again with what the other refused
				got = lasts(got)
			}
			check(t, got, 2, 50)
			if refused.Load() < 2 {
				t.Error("no output was refused: the test shows nothing")
			}
		})
	}
}

// lasts keeps of records with one id the last, as a store does that upserts.
func lasts(records []*kgo.Record) (kept []*kgo.Record) {
	seen := map[string]bool{}
	for _, r := range slices.Backward(records) {
		if !seen[idOf(r)] {
			seen[idOf(r)] = true
			kept = append(kept, r)
		}
	}
	slices.Reverse(kept)
	return kept
}

func idOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "id" {
			return string(h.Value)
		}
	}
	return ""
}

func refuse(req *kmsg.ProduceRequest, with *kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, with.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func TestAtLeastOnceWritesEachRowAndContinuesWhereItStopped(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	cfg.ExactlyOnce = false
	produce(t, cfg, 3, 0, 40)
	stop := running(t, cfg, 1, job())
	collect(t, cfg, out, 120)
	stop()
	produce(t, cfg, 3, 40, 60)
	running(t, cfg, 1, job())
	check(t, lasts(collect(t, cfg, out, 180)), 3, 60)
}

// Bad input: a record that is no JSON, and a row too large to enrich, become
// dead letters and stop nobody.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	cfg.MaxRecordBytes = 20_000
	client, err := kgo.NewClient(cfg.Connection...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	big := strings.Replace(row("host-00", 0), `"n":"0"`, `"n":"`+strings.Repeat("x", 30_000)+`"`, 1)
	for _, value := range []string{"no json", big} {
		r := &kgo.Record{Topic: in, Key: []byte("host-00"), Value: []byte(value)}
		if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, cfg, 1, 0, 5)
	running(t, cfg, 1, job())
	check(t, collect(t, cfg, out, 5), 1, 5)
	reasons := map[string]bool{}
	for _, r := range collect(t, cfg, dead, 2) {
		var letter struct{ Reason string }
		if err := json.Unmarshal(r.Value, &letter); err != nil {
			t.Fatal(err)
		}
		reasons[letter.Reason] = true
	}
	if !reasons["malformed"] || !reasons["oversized"] {
		t.Errorf("dead letters for %v, want malformed and oversized", reasons)
	}
}

func TestCheckKafkaSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	if err := stream.CheckKafka(context.Background(), cfg); err != nil {
		t.Errorf("a good cluster: %v", err)
	}
	cfg.Inputs = []string{"no.such.topic"}
	if err := stream.CheckKafka(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "no.such.topic") {
		t.Errorf("a missing topic: %v", err)
	}
	cfg.Connection = []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := stream.CheckKafka(ctx, cfg); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("a broker that is not there: %v", err)
	}
}
