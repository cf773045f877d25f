package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is a real Apache Kafka of several nodes, each broker and controller, that
// can lose one of three: what is written is on two before it counts. Its methods are
// safe for concurrent use; its nodes are not.
type Cluster struct {
	Nodes []*Broker
	admin *kadm.Client
	// away is held while a node is: two of three must not be.
	away sync.RWMutex
}

// RealCluster starts n nodes and returns when all answer. It skips or fails the test
// as Real does.
func RealCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	replicas, inSync := strconv.Itoa(n), strconv.Itoa(max(1, n-1))
	safe := []Option{
		Set("default.replication.factor", replicas),
		Set("min.insync.replicas", inSync),
		Set("offsets.topic.replication.factor", replicas),
		Set("transaction.state.log.replication.factor", replicas),
		Set("transaction.state.log.min.isr", inSync),
		Set("auto.leader.rebalance.enable", "false"), // leaders move when a test says so
	}
	c := &Cluster{Nodes: newNodes(t, n, append(safe, opts...)...)}
	for _, b := range c.Nodes { // none answers before most are there
		b.launch(t)
	}
	for _, b := range c.Nodes {
		b.await(t)
	}
	c.admin = kadm.NewClient(Client(t, c.Addrs(), kgo.DisableClientMetrics(), kgo.MetadataMinAge(50*time.Millisecond)))
	return c
}

// Addrs returns the plaintext listeners of all nodes, those that are away too.
func (c *Cluster) Addrs() (all []string) {
	for _, b := range c.Nodes {
		all = append(all, b.Addr(Plaintext))
	}
	return all
}

// MoveLeaders makes the next replica of each partition its leader. Moving those of
// __consumer_offsets moves the groups' coordinators, those of __transaction_state
// the transactions'. Partitions whose next replica is away keep their leader.
func (c *Cluster) MoveLeaders(ctx context.Context, topics ...string) error {
	details, err := c.admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return fmt.Errorf("move leaders of %v: %w", topics, err)
	}
	var order kadm.AlterPartitionAssignmentsReq
	elect := kadm.TopicsSet{}
	for _, p := range details.TopicsList().IntoSet().IntoList() {
		for _, n := range p.Partitions {
			order.Assign(p.Topic, n, turned(details[p.Topic].Partitions[n]))
			elect.Add(p.Topic, n)
		}
	}
	if _, err := c.admin.AlterPartitionAssignments(ctx, order); err != nil {
		return fmt.Errorf("move leaders of %v: %w", topics, err)
	}
	if _, err := c.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, elect); err != nil {
		return fmt.Errorf("move leaders of %v: %w", topics, err)
	}
	return nil
}

// turned is a partition's replicas, the one after its leader first.
func turned(p kadm.PartitionDetail) []int32 {
	replicas := slices.Sorted(slices.Values(p.Replicas))
	next := slices.Index(replicas, p.Leader) + 1
	return slices.Concat(replicas[next:], replicas[:next])
}

// Quota bounds what clients of this id may produce, in bytes a second on each
// broker; 0 takes the bound away.
func (c *Cluster) Quota(ctx context.Context, clientID string, bytes float64) error {
	change := kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: bytes, Remove: bytes == 0}
	results, err := c.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}}, Ops: []kadm.AlterClientQuotaOp{change},
	}})
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	if err != nil {
		return fmt.Errorf("quota of client %s: %w", clientID, err)
	}
	return nil
}

// Bounce kills a node when all replicas are in sync and starts it again. Of several
// callers one has a node away at a time.
func (c *Cluster) Bounce(t testing.TB, node int) {
	t.Helper()
	c.away.Lock()
	defer c.away.Unlock()
	c.AwaitInSync(t)
	c.Nodes[node].Kill(t)
	c.Nodes[node].Start(t)
}

// Whole runs f while no node is away by Bounce.
func (c *Cluster) Whole(f func()) {
	c.away.RLock()
	defer c.away.RUnlock()
	f()
}

// AwaitInSync returns when every replica of every topic has all that its leader
// has: then any one node may be lost.
func (c *Cluster) AwaitInSync(t testing.TB) {
	t.Helper()
	await(t, "replicas do not catch up", c.behind)
}

// AwaitBrokers returns when the cluster counts on n of its nodes.
func (c *Cluster) AwaitBrokers(t testing.TB, n int) {
	t.Helper()
	client := Client(t, c.Addrs(), kgo.DisableClientMetrics())
	defer client.Close()
	await(t, fmt.Sprintf("the cluster does not count on %d brokers", n), func(ctx context.Context) (string, error) {
		ids, err := counted(ctx, client)
		if len(ids) == n {
			return "", err
		}
		return fmt.Sprint("but on ", ids), err
	})
}

// await asks until there is nothing that is not yet so.
func await(t testing.TB, failed string, yet func(context.Context) (string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		what, err := yet(ctx)
		if err == nil && what == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %s %v", failed, what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) behind(ctx context.Context) (string, error) {
	details, err := c.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return "", fmt.Errorf("list topics: %w", err)
	}
	for _, topic := range details {
		for _, p := range topic.Partitions {
			if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				return fmt.Sprintf("%s/%d: leader %d, in sync %v of %v", p.Topic, p.Partition, p.Leader, p.ISR, p.Replicas), nil
			}
		}
	}
	return "", nil
}
