//go:build e2e

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
)

const (
	period   = 1500 * time.Millisecond
	patience = time.Minute
)

// site is a table and a stream that is only told of.
type site struct {
	t     *testing.T
	table *lease.Table

	mu      sync.Mutex
	shards  []lease.Shard
	held    map[string]string // shards to who reads them
	trouble []string
}

func newSite(t *testing.T, shards int) *site {
	t.Helper()
	table := &lease.Table{Client: kinesistest.DynamoClient(t, kinesistest.Dynamo(t)), Name: "leases"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 { // the second finds it
		if err := table.Create(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{t: t, table: table, held: map[string]string{}}
	for i := range shards {
		s.shards = append(s.shards, lease.Shard{ID: fmt.Sprintf("shardId-%012d", i), StartingHash: "0", EndingHash: "1"})
	}
	return s
}

func (s *site) list(context.Context) ([]lease.Shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.shards), nil
}

// worker runs until the test or its stop ends it, and reads shards with work.
func (s *site) worker(name string, work func(ctx context.Context, h *lease.Held) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		lease.Run(ctx, lease.Config{
			Table: s.table, Name: name, Period: period, Shards: s.list, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
			Work: func(ctx context.Context, h *lease.Held) error {
				s.note(h.Key, name)
				defer s.note(h.Key, "")
				return work(ctx, h)
			},
		})
	})
	stop = func() { cancel(); done.Wait() }
	s.t.Cleanup(stop)
	return stop
}

func (s *site) note(shard, by string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.held[shard]; by != "" && was != "" {
		s.trouble = append(s.trouble, fmt.Sprintf("%s is read by %s and %s", shard, was, by))
	}
	s.held[shard] = by
}

// read is a reader that moves on until it is told to end.
func read(ctx context.Context, h *lease.Held) error {
	for n := h.Offset + 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-h.Asked():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		to := lease.Progress{Checkpoint: lease.Checkpoint{Sequence: fmt.Sprint(1000 + n)}, Offset: n, Journal: fmt.Sprintf("j-%d", n)}
		if err := h.Move(ctx, to); err != nil {
			return err
		}
	}
}

// await waits until the readers are as wanted, and then stay so.
func (s *site) await(what string, ok func(loads map[string]int) bool) {
	s.t.Helper()
	since := time.Now()
	for deadline := time.Now().Add(patience); time.Since(since) < 2*period; {
		s.mu.Lock()
		loads := map[string]int{}
		for _, by := range s.held {
			if by != "" {
				loads[by]++
			}
		}
		s.mu.Unlock()
		if !ok(loads) {
			since = time.Now()
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v", what, loads)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *site) check() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.trouble {
		s.t.Error(text)
	}
}

func TestWorkersComeAndGo(t *testing.T) {
	s := newSite(t, 6)
	s.worker("a", read)
	s.await("one has all", func(l map[string]int) bool { return l["a"] == 6 })
	stop := s.worker("b", read)
	s.await("two halves", func(l map[string]int) bool { return l["a"] == 3 && l["b"] == 3 })
	s.worker("c", read)
	s.await("three thirds", func(l map[string]int) bool { return l["a"] == 2 && l["b"] == 2 && l["c"] == 2 })
	stop()
	s.await("two halves again", func(l map[string]int) bool { return l["a"] == 3 && l["c"] == 3 })
	s.check()
	all, err := s.table.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Offset < 10 || l.Sequence != fmt.Sprint(1000+l.Offset) || l.Journal != fmt.Sprintf("j-%d", l.Offset) {
			t.Errorf("%+v", l)
		}
	}
}

// A reader that hangs in its work for three periods keeps what it has, also when it is
// asked for it; then it hands it over.
func TestWhoIsBusyKeepsItsLeases(t *testing.T) {
	s := newSite(t, 2)
	release := make(chan struct{})
	busy := func(ctx context.Context, h *lease.Held) error {
		select {
		case <-release:
			return read(ctx, h)
		case <-h.Lost():
			s.t.Error("a lease was lost")
			return lease.ErrLost
		}
	}
	s.worker("busy", busy)
	s.await("one has both", func(l map[string]int) bool { return l["busy"] == 2 })
	s.worker("idle", read)
	end := time.Now().Add(3 * period)
	for time.Now().Before(end) {
		s.await("the busy one keeps both", func(l map[string]int) bool { return l["busy"] == 2 && l["idle"] == 0 })
	}
	close(release)
	s.await("one each", func(l map[string]int) bool { return l["busy"] == 1 && l["idle"] == 1 })
	s.check()
}

// Of two who believe to hold a shard, as after a long sleep, only one moves it on.
func TestWhoLostItsLeaseMovesNothing(t *testing.T) {
	s := newSite(t, 1)
	got := make(chan *lease.Held, 2)
	keep := func(ctx context.Context, h *lease.Held) error {
		got <- h
		<-ctx.Done()
		return nil
	}
	stop := s.worker("old", keep)
	old := <-got
	if err := old.Move(t.Context(), lease.Progress{Checkpoint: lease.Checkpoint{Sequence: "1"}, Offset: 1, Journal: "one"}); err != nil {
		t.Fatal(err)
	}
	stop()
	s.worker("new", keep)
	now := <-got
	if now.Journal != "one" || now.Offset != 1 {
		t.Errorf("%+v", now.Progress)
	}
	late := lease.Progress{Checkpoint: lease.Checkpoint{Sequence: "2"}, Offset: 2, Journal: "two of the old"}
	if err := old.Move(t.Context(), late); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the old one moved it on: %v", err)
	}
	if err := now.Move(t.Context(), lease.Progress{Checkpoint: lease.Checkpoint{Sequence: "2"}, Offset: 2, Journal: "two"}); err != nil {
		t.Errorf("the new one could not: %v", err)
	}
}

// Children wait for their parents, and the parents' leases go when Kinesis has forgotten
// them and the children are begun.
func TestChildrenComeAfterTheirParents(t *testing.T) {
	s := newSite(t, 2)
	var mu sync.Mutex
	var order []string
	work := func(ctx context.Context, h *lease.Held) error {
		mu.Lock()
		order = append(order, h.Key)
		mu.Unlock()
		if h.Key == "shardId-000000000002" {
			return read(ctx, h)
		}
		time.Sleep(200 * time.Millisecond)
		return h.End(ctx, lease.Progress{Offset: 5}, []string{"shardId-000000000002"})
	}
	s.shards = append(s.shards, lease.Shard{ID: "shardId-000000000002", Parents: []string{"shardId-000000000000", "shardId-000000000001"}})
	s.worker("a", work)
	s.await("the child is read", func(l map[string]int) bool { return l["a"] == 1 })
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 3 || order[2] != "shardId-000000000002" {
		t.Errorf("read in the order %v", order)
	}
	parent, err := s.table.Get(t.Context(), "shardId-000000000000")
	if err != nil || !parent.Ended() || !slices.Equal(parent.Children, []string{"shardId-000000000002"}) || parent.Offset != 5 {
		t.Errorf("%+v, %v", parent, err)
	}
	s.check()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
