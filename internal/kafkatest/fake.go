package kafkatest

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
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
	port := freePorts(t, 1)[0]
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

// freePorts finds n loopback ports that nobody listens on. Another process may
// take one before the caller does; a test that meets this fails to start its
// server and says so.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		defer func() { _ = l.Close() }() // all together at the end, so that no port comes twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
