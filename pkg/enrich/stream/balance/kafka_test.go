package balance_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/pkg/enrich/stream/balance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	numbers  = 8
	patience = 60 * time.Second
)

// watched is what the clients of a group were told, with everything that must not
// be. It is safe for concurrent use.
type watched struct {
	mu     sync.Mutex
	owners map[string]map[int32]int // topic, number -> client
	gains  int
	wrong  []string
}

func (w *watched) assigned(client int, m map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, numbers := range m {
		for _, n := range numbers {
			if other, taken := w.owners[topic][n]; taken {
				w.wrong = append(w.wrong, fmt.Sprintf("%s/%d is given to %d while %d has it", topic, n, client, other))
			}
			w.owners[topic][n] = client
			w.gains++
		}
	}
}

func (w *watched) revoked(client int, m map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, numbers := range m {
		for _, n := range numbers {
			if w.owners[topic][n] == client {
				delete(w.owners[topic], n)
			}
		}
	}
}

// shares is how many numbers each client has, nil while one is nobody's or is not
// together.
func (w *watched) shares() map[int]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.owners["results"]) != numbers || !maps.Equal(w.owners["results"], w.owners["side"]) {
		return nil
	}
	shares := map[int]int{}
	for _, client := range w.owners["results"] {
		shares[client]++
	}
	return shares
}

// await waits until n clients have all numbers, evenly; it returns how many
// partitions were given since the last time.
func (w *watched) await(t *testing.T, n int) (gains int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		shares := slices.Sorted(maps.Values(w.shares()))
		if len(shares) == n && shares[n-1]-shares[0] <= 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("shares are %v, want %d that are even", shares, n)
		}
		<-time.After(10 * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
	gains, w.gains = w.gains, 0
	return gains
}

// consume starts a client, which polls until it is stopped.
func (w *watched) consume(t *testing.T, brokers []string, id int) (stop func()) {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("results", "side"),
		kgo.Balancers(balance.Copartition("")), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { w.assigned(id, m) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { w.revoked(id, m) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { w.revoked(id, m) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var polling sync.WaitGroup
	polling.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		polling.Wait()
		client.Close()
	})
	t.Cleanup(stop)
	return stop
}

// Real clients come and go: both topics' numbers are together, nobody is given what
// another has, and no more moves than has to.
func TestClientsShareTwoTopicsByNumber(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(numbers, "results", "side"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &watched{owners: map[string]map[int32]int{"results": {}, "side": {}}}
	w.consume(t, c.ListenAddrs(), 1)
	w.await(t, 1)
	for _, step := range []struct{ members, moves int }{{2, 4}, {3, 2}} {
		w.consume(t, c.ListenAddrs(), step.members)
		if moves := w.await(t, step.members); moves != 2*step.moves {
			t.Errorf("to %d clients %d partitions moved, want %d of each topic", step.members, moves, step.moves)
		}
	}
	stop := w.consume(t, c.ListenAddrs(), 4)
	w.await(t, 4)
	stop()
	if moves := w.await(t, 3); moves != 2*2 {
		t.Errorf("after one of 4 clients left %d partitions moved, want its 2 of each topic", moves)
	}
}
