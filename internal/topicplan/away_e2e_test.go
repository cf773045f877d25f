//go:build e2e

package topicplan_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// Topics that are made while one of three brokers is away are as safe as others.
func TestABrokerThatIsAwayCountsToo(t *testing.T) {
	cluster := kafkatest.RealCluster(t, 3)
	x := siteOn(t, cluster.Addrs())
	cluster.Nodes[2].Kill(t)
	cluster.AwaitBrokers(t, 2)
	x.applied(settings())
	topics, err := x.admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, topic := range topics {
		if n := topic.Partitions.NumReplicas(); n != 3 {
			t.Errorf("%s has %d replicas, want 3", name, n)
		}
		if got := x.config(name, "min.insync.replicas"); got != "2" {
			t.Errorf("%s: min.insync.replicas is %s, want 2", name, got)
		}
	}
	if len(topics) == 0 {
		t.Error("no topic was made")
	}
}
