//go:build e2e

package kafkatest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// leaders are the leader of each partition.
func leaders(t *testing.T, admin *kadm.Client, topic string) map[int32]int32 {
	t.Helper()
	details, err := admin.ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int32]int32{}
	for n, p := range details[topic].Partitions {
		all[n] = p.Leader
	}
	return all
}

func TestCluster(t *testing.T) {
	c := kafkatest.RealCluster(t, 3)
	t.Run("keeps its data while nodes and leaders go", func(t *testing.T) { losesNothing(t, c) })
	t.Run("slows a client until its quota is taken away", func(t *testing.T) { holdsToAQuota(t, c) })
}

func losesNothing(t *testing.T, c *kafkatest.Cluster) {
	client := kafkatest.Client(t, c.Addrs(), kgo.MetadataMinAge(50*time.Millisecond))
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func() {
		t.Helper()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: fmt.Append(nil, sent), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	send()
	before := leaders(t, admin, "t")
	if err := c.MoveLeaders(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		moved := 0
		for n, leader := range leaders(t, admin, "t") {
			if leader != before[n] {
				moved++
			}
		}
		if moved == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("leaders were %v and are %v", before, leaders(t, admin, "t"))
		}
	}
	c.AwaitInSync(t)
	c.Nodes[0].Kill(t)
	send() // two of three are enough
	c.Nodes[0].Start(t)
	send()
	c.AwaitInSync(t)
	if got := kafkatest.Read(t, c.Addrs(), "t"); len(got) != sent {
		t.Errorf("%d records, want %d", len(got), sent)
	}
}

func holdsToAQuota(t *testing.T, c *kafkatest.Cluster) {
	kafkatest.CreateTopic(t, c.Addrs(), "slow", 1, map[string]string{"min.insync.replicas": "1"})
	client := kafkatest.Client(t, c.Addrs(), kgo.ClientID("slow"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	produce := func() time.Duration {
		t.Helper()
		began := time.Now()
		for range 2 {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "slow", Value: make([]byte, 20_000)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	if err := c.Quota(t.Context(), "slow", 10_000); err != nil {
		t.Fatal(err)
	}
	// The broker judges by the last seconds, so the first call may pass.
	for deadline := time.Now().Add(time.Minute); produce() < 2*time.Second; {
		if time.Now().After(deadline) {
			t.Fatal("the quota does not show")
		}
	}
	if err := c.Quota(t.Context(), "slow", 0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); produce() > time.Second; {
		if time.Now().After(deadline) {
			t.Fatal("the quota is still there")
		}
	}
}
