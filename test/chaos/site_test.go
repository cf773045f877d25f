//go:build chaos || e2e

// Package chaos does to the real logger-ext and the real enricher what will be done
// to them: kill -9, brokers that go away, copied and rolled-back spools, a fifth of
// a processor, leaders that move, a process that stands still. Each random run
// prints its seed; SEED=n repeats it alone.
package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// program is logger-ext's path, built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "sjc")
	if err == nil {
		program, err = loggertest.Build(context.Background(), dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// eachSeed runs test for n random seeds, or for that of $SEED alone, two at a time.
func eachSeed(t *testing.T, n int, test func(*testing.T, *rand.Rand)) {
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			test(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

// chaosSeeds is $CHAOS_SEEDS, or n.
func chaosSeeds(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("CHAOS_SEEDS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		must(t, err)
	}
	return n
}

// seeds is n random ones, or that of $SEED alone.
func seeds(t *testing.T, n int) (all []uint64) {
	t.Helper()
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		return []uint64{seed}
	}
	for range n {
		all = append(all, uint64(rand.Uint32()))
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newHost makes a host that ships to these brokers. Its osqueryd is stopped with
// the test.
func newHost(t *testing.T, brokers string) *loggertest.Host {
	t.Helper()
	return newHostOf(t, program, brokers)
}

// newHostOf makes a host with another program in logger-ext's place.
func newHostOf(t *testing.T, program, brokers string) *loggertest.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "sjh") // t.TempDir's names are too long for a socket
	must(t, err)
	h, err := loggertest.NewHost(program, filepath.Join(dir, "h"), "brokers: ["+brokers+"]", "")
	must(t, err)
	endWith(t, h, dir)
	return h
}

// endWith stops a host's osqueryd with the test, and removes its folder.
func endWith(t *testing.T, h *loggertest.Host, dir string) {
	t.Helper()
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("logger-ext said:\n%s", tail(h.Output()))
		}
		_ = os.RemoveAll(dir)
	})
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

func start(t *testing.T, h *loggertest.Host) {
	t.Helper()
	must(t, h.Start(context.Background()))
}

func stop(t *testing.T, h *loggertest.Host) {
	t.Helper()
	must(t, h.Stop())
}

// shakyBroker is a kfake whose connections can be cut and refused without giving
// up its port. It is safe for concurrent use.
type shakyBroker struct {
	*kfake.Cluster

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
}

func newShakyBroker(t *testing.T) *shakyBroker {
	t.Helper()
	b := &shakyBroker{conns: map[net.Conn]bool{}}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, loggertest.Topics()...),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return &shakyListener{l, b}, err
		}))
	must(t, err)
	t.Cleanup(cluster.Close)
	b.Cluster = cluster
	return b
}

// setAway cuts every connection and refuses new ones, or takes them again.
func (b *shakyBroker) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
	if away {
		for c := range b.conns {
			_ = c.Close() // what it had under way is lost, or was taken and not answered
		}
		clear(b.conns)
	}
}

func (b *shakyBroker) take(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.away {
		b.conns[c] = true
	}
	return !b.away
}

type shakyListener struct {
	net.Listener
	broker *shakyBroker
}

func (l *shakyListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.broker.take(c) {
			return c, err
		}
		_ = c.Close() // that is being away
	}
}

func (b *shakyBroker) addr() string { return b.ListenAddrs()[0] }

// topic is what lies on the results topic now.
func topic(t *testing.T, addr string) []*kgo.Record {
	t.Helper()
	return kafkatest.Read(t, []string{addr}, "osquery.results")
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func name(r *kgo.Record) string {
	return header(r, "agent") + "/" + header(r, "run") + "/" + header(r, "seq") + "/" + header(r, "row")
}

// line is a call of n rows, numbered, in batch form.
func line(call, n, size int, rng *rand.Rand) string {
	rows := make([]osqueryd.Row, n)
	for i := range rows {
		rows[i] = osqueryd.Row{"call": call, "n": i, "x": fmt.Sprintf("%0*x", size, rng.Uint32())}
	}
	return osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}.Batch(nil, rows)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
