package stream_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// runs starts sessions that count; the function it returns stops them and gives
// the error they ended with.
func runs(t *testing.T, cfg stream.KafkaConfig, n int) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stream.RunKafka(ctx, cfg, n, counting(os.Stderr)) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// Promise 10: state follows its partition, whoever takes it.
func TestStateMovesWithItsPartition(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	const hosts, rows = 8, 120
	produce(t, cfg, hosts, 0, rows/4)
	stopFirst := runs(t, cfg, 1)
	checkCounts(t, cfg, hosts, rows/4)
	stopSecond := runs(t, cfg, 2)
	produce(t, cfg, hosts, rows/4, rows/2)
	checkCounts(t, cfg, hosts, rows/2)
	if err := stopFirst(); err != nil {
		t.Error(err)
	}
	produce(t, cfg, hosts, rows/2, 3*rows/4)
	runs(t, cfg, 1)
	if err := stopSecond(); err != nil {
		t.Error(err)
	}
	produce(t, cfg, hosts, 3*rows/4, rows)
	checkCounts(t, cfg, hosts, rows)
}

// What an aborted transaction said to the state is gone, and so is what operators
// held of it; where nobody knows how it ended, the state topic does.
func TestAbortedAndUnknownTransactionsLeaveNoState(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	cfg.StateDir = t.TempDir()
	const hosts, rows = 4, 80
	var refused, unknown atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if p := req.(*kmsg.ProduceRequest); p.TransactionID != nil && refused.Add(1)%3 == 2 && refused.Load() < 10 {
			return refuse(p, kerr.InvalidRecord), nil, true
		}
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if unknown.Add(1) != 4 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		return resp, nil, true
	})
	cfg.Connection = append(cfg.Connection, kgo.TransactionTimeout(2*time.Second))
	runs(t, cfg, 1)
	for n := range 4 {
		produce(t, cfg, hosts, n*rows/4, (n+1)*rows/4)
		checkCounts(t, cfg, hosts, (n+1)*rows/4)
	}
	if refused.Load() < 3 || unknown.Load() < 4 {
		t.Errorf("%d refusals, %d ends: the test shows nothing", refused.Load(), unknown.Load())
	}
}

// seen is a Monitor that keeps what it was told. It is safe for concurrent use.
type seen struct {
	mu       sync.Mutex
	restored map[int32]int64
	ended    map[string]int
}

func (s *seen) Partition(p stream.PartitionStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored[p.Partition.ID] = max(s.restored[p.Partition.ID], p.Restored)
}
func (*seen) Gone(stream.Partition) {}
func (s *seen) Ended(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[how]++
}

func (s *seen) records() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.restored {
		n += r
	}
	return n
}

// A restart on the same disk reads back only what the disk does not have; on
// another disk, all of it.
func TestARestartRestoresOnlyTheTail(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	cfg.StateDir = t.TempDir()
	const hosts = 20
	produce(t, cfg, hosts, 0, 3)
	stop := runs(t, cfg, 1)
	checkCounts(t, cfg, hosts, 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	restored := func(dir string, rows int) int64 {
		m := &seen{restored: map[int32]int64{}, ended: map[string]int{}}
		cfg.StateDir, cfg.Monitor = dir, m
		stop := runs(t, cfg, 1)
		produce(t, cfg, hosts, rows-1, rows)
		checkCounts(t, cfg, hosts, rows)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if m.ended["committed"] == 0 {
			t.Error("no transaction was told")
		}
		return m.records()
	}
	if n := restored(cfg.StateDir, 4); n != 0 {
		t.Errorf("%d records were read back, the disk had them all", n)
	}
	if n := restored(t.TempDir(), 5); n < 2*hosts {
		t.Errorf("%d records were read back on an empty disk, there are at least %d", n, 2*hosts)
	}
}

// Committed offsets without any state are refused, unless that is accepted.
func TestLostStateIsRefusedUnlessAccepted(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	produce(t, cfg, 4, 0, 5)
	stop := runs(t, cfg, 1)
	checkCounts(t, cfg, 4, 5)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(kafkatest.Client(t, c.ListenAddrs()))
	if _, err := admin.DeleteTopics(t.Context(), states); err != nil {
		t.Fatal(err)
	}
	kafkatest.CreateTopic(t, c.ListenAddrs(), states, partitions, map[string]string{"cleanup.policy": "compact"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stream.RunKafka(ctx, cfg, 1, counting(os.Stderr)); err == nil || !strings.Contains(err.Error(), "--accept-state-loss") {
		t.Fatalf("sessions ended with %v", err)
	}
	cfg.AcceptStateLoss = true
	runs(t, cfg, 1)
	produce(t, cfg, 4, 5, 6)
	if got := collect(t, cfg, counts, 24); len(got) != 24 {
		t.Errorf("%d counts, want 24", len(got))
	}
}

// Rows that retention ate before they were read, or that somebody made the group
// step over, are told as a gap with its bounds, once.
func TestRowsThatWereNeverReadAreToldAsAGap(t *testing.T) {
	t.Parallel()
	for name, skip := range map[string]func(context.Context, *kadm.Client, int32, int64) error{
		"retention": func(ctx context.Context, admin *kadm.Client, p int32, to int64) error {
			offsets := kadm.Offsets{}
			offsets.AddOffset(in, p, to, -1)
			_, err := admin.DeleteRecords(ctx, offsets)
			return err
		},
		"offsets set": func(ctx context.Context, admin *kadm.Client, p int32, to int64) error {
			offsets := kadm.Offsets{}
			offsets.AddOffset(in, p, to, -1)
			_, err := admin.CommitOffsets(ctx, "enricher", offsets)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, cfg := cluster(t)
			produce(t, cfg, 1, 0, 5)
			stop := runs(t, cfg, 1)
			checkCounts(t, cfg, 1, 5)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			produce(t, cfg, 1, 5, 9)
			p := kafkatest.Read(t, c.ListenAddrs(), in)[0].Partition
			if err := skip(t.Context(), kadm.NewClient(kafkatest.Client(t, c.ListenAddrs())), p, 7); err != nil {
				t.Fatal(err)
			}
			stop = runs(t, cfg, 1)
			collect(t, cfg, out, 7)
			if err := stop(); err != nil { // and again, to see that it is told once
				t.Fatal(err)
			}
			runs(t, cfg, 1)
			produce(t, cfg, 1, 9, 10)
			collect(t, cfg, out, 8)
			var gaps []string
			for _, r := range collect(t, cfg, counts, 0) {
				if bytes.Contains(r.Value, []byte(`"gap"`)) {
					gaps = append(gaps, string(r.Value))
				}
			}
			if len(gaps) != 1 || !strings.Contains(gaps[0], `"from":5,"to":7`) {
				t.Errorf("gaps %q, want one from 5 to 7", gaps)
			}
		})
	}
}

func TestCheckKafkaWantsAStateTopicThatFits(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	kafkatest.CreateTopic(t, c.ListenAddrs(), "deleting.state", partitions, map[string]string{"cleanup.policy": "delete"})
	kafkatest.CreateTopic(t, c.ListenAddrs(), "small.state", partitions-1, map[string]string{"cleanup.policy": "compact"})
	for topic, words := range map[string]string{
		"no.state": "cleanup.policy=compact and 4 partitions", "deleting.state": "set it to compact", "small.state": "the counts must be equal",
	} {
		cfg.StateTopic = topic
		if err := stream.CheckKafka(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", topic, err, words)
		}
	}
}
