package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// How soon rows come out of three enrichers, and what their end does to that. The rate is
// half of what they take on two cores, with the broker, who writes and who reads beside
// them.
const (
	freshRate      = 3000 // rows a second
	freshSteps     = 20   // a second
	freshProcesses = 3
	freshFor       = 20 * time.Second
	freshSettle    = 15 * time.Second

	barFresh        = 2.0 // seconds, at the 99th percentile
	barSilent       = 10.0
	barOthersSilent = 1.0
	barRolling      = 3.0
	barHotHost      = 2.0 // times
)

// fresh measures the time from a row's append to when a reader of what is committed has
// it: with three enrichers, while one is killed, while each is stopped and started, and
// while one host sends a third of all.
func (b *bench) fresh(ctx context.Context) (err error) {
	s, stopStream, err := b.stream(ctx)
	if err != nil {
		return err
	}
	defer stopStream()
	f := &freshBench{streamBench: s, seen: newSightings()}
	if err := f.createTopics(ctx); err != nil {
		return err
	}
	if err := f.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if _, err := f.phase(ctx, freshSettle, nil); err != nil { // warm
		return err
	}
	calm, err := f.phase(ctx, freshFor, nil)
	if err != nil {
		return err
	}
	b.table.atMost("append to committed, 3 enrichers: p99", fmt.Sprintf("%.2f s, median %.2f s, at %d rows/s", calm.quantile(0.99), calm.quantile(0.5), freshRate), calm.quantile(0.99), barFresh)
	if err := f.killed(ctx); err != nil {
		return err
	}
	if err := f.rolling(ctx); err != nil {
		return err
	}
	return f.hotHost(ctx, calm)
}

// freshBench is three enrichers, who writes rows for them, and who reads what they tell.
type freshBench struct {
	*streamBench

	program string
	running []*exec.Cmd
	hot     *endpoints // one host, which sends three of ten rows
	seen    *sightings
	reading sync.WaitGroup
	stop    context.CancelFunc
}

// begin starts the enrichers, and who reads what they tell.
func (f *freshBench) begin(ctx context.Context) (err error) {
	if f.program, err = loggertest.BuildProgram(ctx, "./cmd/enricher", filepath.Join(f.dir, "enricher")); err != nil {
		return err //nolint:wrapcheck // it says what
	}
	f.running = make([]*exec.Cmd, freshProcesses)
	for i := range f.running {
		if err := f.start(ctx, i); err != nil {
			return err
		}
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.ConsumeTopics(enrichedTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	ctx, f.stop = context.WithCancel(ctx)
	f.reading.Go(func() {
		defer reader.Close()
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(f.seen.came)
		}
	})
	return nil
}

// start starts an enricher, which has a disk of its own.
func (f *freshBench) start(ctx context.Context, i int) error {
	config := filepath.Join(f.dir, fmt.Sprintf("fresh-%d.yaml", i))
	text := fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: bench\ninputs: {results: [bench.results]}\nsessions: 1\nstate: {dir: %s}\nlog: {level: warn}\n", f.addr, filepath.Join(f.dir, fmt.Sprint("fresh-", i)))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	f.running[i] = exec.CommandContext(ctx, f.program, "run", "--config", config)
	f.running[i].Stderr = os.Stderr
	if err := f.running[i].Start(); err != nil {
		return fmt.Errorf("enricher: %w", err)
	}
	return nil
}

func (f *freshBench) end() (err error) {
	f.stop()
	f.reading.Wait()
	for _, cmd := range f.running {
		_ = cmd.Process.Signal(os.Interrupt)
		err = errors.Join(err, ended(cmd))
	}
	return err
}

// phase writes rows for so long, does something meanwhile, and returns what came of them.
func (f *freshBench) phase(ctx context.Context, long time.Duration, meanwhile func() error) (latencies, error) {
	f.seen.begin()
	var beside sync.WaitGroup
	var failed error
	if meanwhile != nil {
		beside.Go(func() { failed = meanwhile() })
	}
	err := f.write(ctx, long)
	beside.Wait()
	return f.seen.end(), errors.Join(err, failed)
}

func (f *freshBench) write(ctx context.Context, long time.Duration) error {
	began := time.Now()
	for step := range int(long.Seconds() * freshSteps) {
		for n := range freshRate / freshSteps {
			key, value := f.next(n)
			r := &kgo.Record{Topic: "bench.results", Key: key, Value: value}
			f.seen.wrote(r)
			f.client.Produce(ctx, r, nil)
		}
		if err := sleep(ctx, time.Until(began.Add(time.Duration(step+1)*time.Second/freshSteps))); err != nil {
			return err
		}
	}
	if err := f.client.Flush(ctx); err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	return nil
}

// killed kills one enricher, and starts it again when others have taken its partitions.
func (f *freshBench) killed(ctx context.Context) error {
	_, err := f.phase(ctx, 2*freshFor, func() error {
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		_ = f.running[0].Process.Signal(syscall.SIGKILL)
		_ = f.running[0].Wait() // it was killed
		return nil
	})
	if err != nil {
		return err
	}
	silences := f.seen.silences()
	own := enricherPartitions / freshProcesses
	f.table.atMost("one of 3 killed: its partitions are silent for", fmt.Sprintf("%.1f s", silences[0]), silences[0], barSilent)
	f.table.atMost("  the others'", fmt.Sprintf("%.2f s", silences[own]), silences[own], barOthersSilent)
	if err := f.start(ctx, 0); err != nil {
		return err
	}
	_, err = f.phase(ctx, freshSettle, nil)
	return err
}

// rolling stops each enricher as an operator does, and starts it again.
func (f *freshBench) rolling(ctx context.Context) error {
	_, err := f.phase(ctx, freshProcesses*freshSettle, func() error {
		for i, cmd := range f.running {
			_ = cmd.Process.Signal(os.Interrupt)
			if err := ended(cmd); err != nil {
				return err
			}
			if err := f.start(ctx, i); err != nil {
				return err
			}
			if err := sleep(ctx, freshSettle-5*time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	silence := f.seen.silences()[0]
	f.table.atMost("a rolling restart: a partition is silent for", fmt.Sprintf("%.1f s", silence), silence, barRolling)
	_, err = f.phase(ctx, freshSettle, nil)
	return err
}

// hotHost has one host send a third of all rows, and looks at the others'.
func (f *freshBench) hotHost(ctx context.Context, calm latencies) error {
	f.hot = newEndpoints(len(f.rows.hosts) + 1)
	f.hot.hosts = f.hot.hosts[len(f.rows.hosts):]
	f.seen.without = f.hot.hosts[0].agent
	others, err := f.phase(ctx, freshFor, nil)
	if err != nil {
		return err
	}
	times := others.quantile(0.99) / calm.quantile(0.99)
	f.table.atMost("one host sends 30 %: the others' p99", fmt.Sprintf("%.2f s, %.2fx", others.quantile(0.99), times), times, barHotHost)
	return nil
}

// next is the next row and its key.
func (f *freshBench) next(n int) (key, value []byte) {
	if f.hot != nil && n%10 < 3 {
		return f.hot.next()
	}
	return f.rows.next()
}

// sightings are when rows were written and came out. It is safe for concurrent use.
type sightings struct {
	mu      sync.Mutex
	written map[string]time.Time // by name
	without string               // an agent whose rows do not count
	taken   latencies
	last    map[int32]time.Time
	silent  map[int32]time.Duration // the longest
	behind  map[int32]time.Time     // when a row came last that had waited for longer than is recovered
}

// latencies are in seconds.
type latencies []float64

func newSightings() *sightings {
	s := &sightings{written: map[string]time.Time{}}
	s.begin()
	return s
}

func (s *sightings) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken, s.last, s.silent, s.behind = nil, map[int32]time.Time{}, map[int32]time.Duration{}, map[int32]time.Time{}
}

func (s *sightings) end() latencies {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.taken)
	return s.taken
}

func (s *sightings) wrote(r *kgo.Record) {
	var v struct {
		Delivery struct {
			Agent, Run string
			Seq, Row   int
		}
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return // cannot be: it is ours
	}
	d := v.Delivery
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[fmt.Sprintf("%s/%s/%d/%d", d.Agent, d.Run, d.Seq, d.Row)] = time.Now()
}

// came notes what a reader has. What is told again does not count.
func (s *sightings) came(r *kgo.Record) {
	now, id := time.Now(), ""
	for _, h := range r.Headers {
		if h.Key == "id" {
			id = string(h.Value)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, known := s.last[r.Partition]; known {
		s.silent[r.Partition] = max(s.silent[r.Partition], now.Sub(last))
	}
	s.last[r.Partition] = now
	if at, known := s.written[id]; known {
		delete(s.written, id)
		if now.Sub(at) >= recoveredLag {
			s.behind[r.Partition] = now
		}
		if waitsForNothing(r.Value) && (s.without == "" || !strings.HasPrefix(id, s.without)) {
			s.taken = append(s.taken, now.Sub(at).Seconds())
		}
	}
}

// waitsForNothing tells of a row that is not held for what later rows may tell of its
// process: one of the files that changed.
func waitsForNothing(value []byte) bool {
	return bytes.HasPrefix(value, []byte(`{"name":"pack_linux_file_events"`))
}

// silences are the longest times in which nothing came of a partition, in seconds, the
// longest first.
func (s *sightings) silences() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]float64, 0, enricherPartitions)
	for _, d := range s.silent {
		all = append(all, d.Seconds())
	}
	slices.Sort(all)
	slices.Reverse(all)
	for len(all) < enricherPartitions {
		all = append(all, math.Inf(1)) // of which nothing came at all
	}
	return all
}

func (l latencies) quantile(q float64) float64 {
	if len(l) == 0 {
		return math.Inf(1)
	}
	return l[int(q*float64(len(l)-1))]
}
