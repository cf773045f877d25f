package kafkatest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/testserver"
)

// Broker is a real Apache Kafka of one KRaft node on loopback, or one node of a
// Cluster, started for one test and ended with it. It is used by one goroutine at
// a time.
type Broker struct {
	id      int
	dir     string
	libs    string
	ports   map[Listener]int
	cluster string              // the cluster's id
	voters  string              // Kafka's controller.quorum.voters
	run     *testserver.Process // nil while stopped
	identity
}

// Option changes how Real starts a broker.
type Option func(*settings)

type settings struct {
	listeners  []Listener
	properties map[string]string
}

// With adds listeners; Plaintext is always there.
func With(listeners ...Listener) Option {
	return func(s *settings) { s.listeners = append(s.listeners, listeners...) }
}

// Set sets a line of server.properties.
func Set(key, value string) Option {
	return func(s *settings) { s.properties[key] = value }
}

// Real starts a broker and returns when it answers. Where Java or the jars are
// missing it skips the test, but fails it in CI (CI=true); a broker that does
// not start fails it anywhere.
func Real(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	b := newNodes(t, 1, opts...)[0]
	b.Start(t)
	return b
}

// newNodes makes the nodes of a cluster, which are ended with the test; none is
// started yet.
func newNodes(t testing.TB, n int, opts ...Option) []*Broker {
	t.Helper()
	libs, err := findJars()
	if err != nil {
		testserver.Absent(t, "Kafka", err)
	}
	set := settings{listeners: []Listener{Plaintext}, properties: map[string]string{}}
	for _, opt := range opts {
		opt(&set)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	nodes, voters := make([]*Broker, n), make([]string, n)
	ports := testserver.FreePorts(t, n*(len(set.listeners)+1))
	for i := range nodes {
		b := &Broker{id: i + 1, dir: t.TempDir(), libs: libs, ports: map[Listener]int{}, cluster: encode(id)}
		for _, l := range append([]Listener{controller}, set.listeners...) {
			b.ports[l], ports = ports[0], ports[1:]
		}
		nodes[i], voters[i] = b, fmt.Sprintf("%d@%s", b.id, b.Addr(controller))
	}
	for _, b := range nodes {
		b.voters = strings.Join(voters, ",")
		b.makeIdentity(t)
		b.configure(t, set)
		b.format(t)
		t.Cleanup(func() { b.Kill(t) })
	}
	return nodes
}

// Addr returns a listener's address. It survives Stop, Kill and Start.
func (b *Broker) Addr(l Listener) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.ports[l]))
}

// Addrs returns the plaintext listener's address.
func (b *Broker) Addrs() []string { return []string{b.Addr(Plaintext)} }

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b *Broker) configure(t testing.TB, set settings) {
	t.Helper()
	props := b.properties(set.listeners)
	maps.Copy(props, set.properties)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&text, "%s=%s\n", key, props[key])
	}
	b.write(t, "server.properties", []byte(text.String()))
	b.write(t, "log4j2.properties", []byte(logging))
}

const logging = `rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
`

func (b *Broker) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(b.file(name), data, 0o600); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

func (b *Broker) java(args ...string) []string {
	return append([]string{
		"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + b.file("log4j2.properties"),
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + b.keysURL(),
		"-cp", filepath.Join(b.libs, "*"),
	}, args...)
}

// format makes the data folder, with the SCRAM users in it.
func (b *Broker) format(t testing.TB) {
	t.Helper()
	args := b.java("kafka.tools.StorageTool", "format", "-c", b.file("server.properties"),
		"--cluster-id="+b.cluster) // with "=", since it may begin with a dash
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, User, Password))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "java", args...).CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's data folder: %v\n%s", err, out)
	}
}

// Start starts a stopped broker on its old addresses and data, and returns when
// it answers.
func (b *Broker) Start(t testing.TB) {
	t.Helper()
	b.launch(t)
	b.await(t)
}

// launch starts the process.
func (b *Broker) launch(t testing.TB) {
	t.Helper()
	run, err := testserver.Start(b.file("server.log"), "", nil, "java", b.java("kafka.Kafka", b.file("server.properties"))...)
	if err != nil {
		t.Fatalf("start Kafka: %v", err)
	}
	b.run = run
}

// await returns when the broker answers and its cluster counts on it.
func (b *Broker) await(t testing.TB) {
	t.Helper()
	client := Client(t, b.Addrs(), kgo.RequestRetries(0), kgo.DisableClientMetrics())
	defer client.Close()
	deadline := time.Now().Add(patience)
	for !b.answers(t.Context(), client) {
		if b.run.Ended() || time.Now().After(deadline) {
			t.Fatalf("Kafka does not answer:\n%s", testserver.LastWords(b.file("server.log")))
		}
	}
}

// answers asks for the cluster's brokers, and tells whether this one is there.
func (b *Broker) answers(ctx context.Context, client *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if there, err := counted(ctx, client); err == nil && slices.Contains(there, int32(b.id)) {
		return true
	}
	select { // a pause between questions, which ends early with the broker
	case <-b.run.Done():
	case <-time.After(50 * time.Millisecond):
	}
	return false
}

// counted is the brokers that the cluster counts on. kadm tells those of its first answer for
// ever, which may have come before all were there.
func counted(ctx context.Context, client *kgo.Client) (ids []int32, err error) {
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = []kmsg.MetadataRequestTopic{}
	meta, err := ask.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask for brokers: %w", err)
	}
	for _, b := range meta.Brokers {
		ids = append(ids, b.NodeID)
	}
	return ids, nil
}

// Stop ends the broker as an operator does (SIGTERM) and waits for its end.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	b.end(t, syscall.SIGTERM)
}

// Kill ends the broker as a crash does (SIGKILL).
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	b.end(t, syscall.SIGKILL)
}

func (b *Broker) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if b.run == nil {
		return
	}
	if t.Failed() {
		t.Logf("Kafka's last words:\n%s", testserver.LastWords(b.file("server.log")))
	}
	if err := b.run.End(sig); err != nil {
		t.Errorf("end Kafka: %v", err)
	}
	b.run = nil
}

// Tool runs one of Kafka's own command line tools, by the name of its class, and
// returns what it printed.
func (b *Broker) Tool(t testing.TB, class string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", b.java(append([]string{class}, args...)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", class, args, err, out)
	}
	return string(out)
}
