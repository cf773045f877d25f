package kafkatest

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stackjoin/stackjoin/internal/testserver"
)

// FakeBroker is an in-process Kafka of one node that can be stopped and started
// again with its data. It is used by one goroutine at a time.
type FakeBroker struct {
	*kfake.Cluster // the running cluster; nil while stopped

	opts []kfake.Opt
	addr string
}

// Fake starts a kfake of one broker that ends with the test.
func Fake(t testing.TB, opts ...kfake.Opt) *FakeBroker {
	t.Helper()
	port := testserver.FreePorts(t, 1)[0]
	f := &FakeBroker{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	f.opts = append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.DataDir(t.TempDir()),
		kfake.SyncWrites(),
	}, opts...)
	f.Start(t)
	t.Cleanup(func() { f.Stop(t) })
	return f
}

// Addrs returns the broker's address; it survives Stop and Start.
func (f *FakeBroker) Addrs() []string { return []string{f.addr} }

// Start starts a stopped broker on its old address and data.
func (f *FakeBroker) Start(t testing.TB) {
	t.Helper()
	cluster, err := kfake.NewCluster(f.opts...)
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	f.Cluster = cluster
}

// Stop ends the broker and every connection to it. A second Stop does nothing.
func (f *FakeBroker) Stop(testing.TB) {
	if f.Cluster != nil {
		f.Close()
		f.Cluster = nil
	}
}
