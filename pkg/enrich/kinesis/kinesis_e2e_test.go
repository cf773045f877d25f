//go:build e2e

package kinesis_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

const (
	period   = 2 * time.Second
	patience = 2 * time.Minute
)

// site is one stream with its leases and journal, and what was told of it.
type site struct {
	t        *testing.T
	front    *kinesistest.Front
	endpoint string // what consumers talk to
	client   *awskinesis.Client
	table    *lease.Table
	stream   string
	journal  string // empty for none
	wait     time.Duration
	consumer string // when set, the ARN in whose name records are pushed
	build    func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error)
	logs     bytes.Buffer

	mu      sync.Mutex
	told    []enrich.Output
	block   chan struct{} // when set, nothing is delivered until it is closed
	waiting int
	after   func() // when set, is called once, when something was delivered
}

func newSite(t *testing.T, shards int32) *site {
	t.Helper()
	return newSiteOn(t, kinesistest.Real(t), kinesistest.Dynamo(t), "rows", shards)
}

// newSiteOn makes a stream and a table of that name on servers that others use too.
func newSiteOn(t *testing.T, front *kinesistest.Front, dynamo, name string, shards int32) *site {
	t.Helper()
	s := &site{t: t, front: front, stream: name, journal: t.TempDir(), wait: time.Minute}
	s.endpoint, s.client, s.build = s.front.Endpoint(), kinesistest.Client(t, s.front.Endpoint()), s.processes
	s.table = &lease.Table{Client: kinesistest.DynamoClient(t, dynamo), Name: name}
	kinesistest.CreateStream(t, s.front.Endpoint(), name, shards)
	t.Cleanup(func() {
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Log(s.logs.String())
		}
	})
	return s
}

// Write takes log lines.
func (s *site) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.Write(p)
}

func (s *site) Deliver(ctx context.Context, outputs []enrich.Output) error {
	s.mu.Lock()
	block := s.block
	s.mu.Unlock()
	if block != nil && len(outputs) > 0 {
		s.mu.Lock()
		s.waiting++
		s.mu.Unlock()
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.after != nil && len(outputs) > 0 {
		defer s.after()
		s.after = nil
	}
	for _, o := range outputs {
		o.Value, o.Key = bytes.Clone(o.Value), bytes.Clone(o.Key)
		s.told = append(s.told, o)
	}
	return nil
}

func (s *site) Close(context.Context) error { return nil }

func (s *site) output() []enrich.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// config is that of a consumer.
func (s *site) config(name string) kinesis.Config {
	cfg := kinesis.Config{
		Client: kinesistest.Client(s.t, s.endpoint), Stream: s.stream, Leases: s.table, Worker: name, Period: period,
		Poll: 250 * time.Millisecond, Linger: 100 * time.Millisecond, MaxRecordBytes: 1 << 20,
		Deliver: func() (kinesis.Deliverer, error) { return s, nil }, Log: slog.New(slog.NewTextHandler(s, nil)),
	}
	if s.consumer != "" {
		cfg.FanOut = &kinesis.FanOut{Client: kinesistest.Client(s.t, s.endpoint), Consumer: s.consumer}
	}
	if s.journal != "" {
		cfg.Journal = journal.Folder(s.journal)
	}
	return cfg
}

// consume starts a consumer, which ends with its stop or the test.
func (s *site) consume(name string) (stop func()) {
	cfg := s.config(name)
	ctx, cancel := context.WithCancel(context.Background())
	if err := kinesis.Check(ctx, cfg); err != nil {
		s.t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { kinesis.Run(ctx, cfg, stream.Job{Build: s.build, Log: cfg.Log}) })
	stop = func() { cancel(); done.Wait() }
	s.t.Cleanup(stop)
	return stop
}

// processes builds what joins rows with processes.
func (s *site) processes(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
	lost, err := enrich.ReadPartial(state("pipeline"))
	if err != nil {
		return nil, err
	}
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{process.New(process.Config{}, state("process"))}, nil)
	p.Partial(lost)
	p.Wait(enrich.Waiting{Wait: s.wait, Keep: true}, state("pipeline"))
	return p, nil
}

func (s *site) put(key string, data []byte) {
	s.t.Helper()
	if _, err := s.client.PutRecord(s.t.Context(), &awskinesis.PutRecordInput{StreamName: &s.stream, PartitionKey: &key, Data: data}); err != nil {
		s.t.Fatal(err)
	}
}

func plain(host string, n int) string {
	return fmt.Sprintf(`{"name":"q","hostIdentifier":%q,"unixTime":1760000000,"columns":{"n":"%d"},"action":"added"}`, host, n)
}

// await waits for so many outputs.
func (s *site) await(n int) []enrich.Output {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if out := s.output(); len(out) >= n {
			return out
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d outputs", len(s.output()), n)
		}
	}
}

// one is what tests read of an output.
type one struct {
	Columns struct {
		N int `json:",string"`
	}
	Enrichment struct {
		Event   struct{ Revision int }
		Process struct{ Executable string }
		Gaps    []struct{ Reason string }
	}
}

func read(t *testing.T, o enrich.Output) (v one) {
	t.Helper()
	if err := json.Unmarshal(o.Value, &v); err != nil {
		t.Fatalf("%s: %v", o.Value, err)
	}
	return v
}

// One record that means harm is one dead letter, whatever it is; what lies around it
// is told.
func TestHostileRecordsAreDeadLetteredAlone(t *testing.T) {
	s := newSite(t, 1)
	lying := []byte("\x0a\x01\x61\x1a\x05\x08\x09\x1a\x01\x31") // key 9 of 1
	sum := md5.Sum(lying)
	s.put("h", []byte(plain("h", 1)))
	s.put("h", append(append([]byte("\xf3\x89\x9a\xc2"), lying...), sum[:]...))
	s.put("h", []byte{0x1f, 0x8b, 8, 0, 0})
	s.put("h", []byte(plain("h", 2)+"\n"+plain("h", 3)+"\n"))
	s.put("h", []byte("not JSON"))
	s.put("h", []byte(plain("h", 4)))
	s.consume("a")
	var got []string
	for _, o := range s.await(7) {
		if o.Stream == enrich.DeadLetters {
			got = append(got, "dead")
		} else {
			got = append(got, fmt.Sprint(read(t, o).Columns.N))
		}
	}
	if want := "1 dead dead 2 3 dead 4"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Reads that are refused, and iterators that expire, cost nothing but time.
func TestThrottledReadsLoseNothing(t *testing.T) {
	s := newSite(t, 1)
	var mu sync.Mutex
	rng, refused := rand.New(rand.NewPCG(1, 2)), 0
	shaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		luck := rng.IntN(10)
		mu.Unlock()
		kind := map[int]string{0: "ExpiredIteratorException", 1: "ProvisionedThroughputExceededException", 2: "ProvisionedThroughputExceededException", 3: "InternalFailure"}[luck]
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetRecords") || kind == "" {
			s.front.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		refused++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, kind)
	}))
	defer shaky.Close()
	s.endpoint = shaky.URL
	stop := s.consume("a")
	const n = 60
	for i := range n {
		s.put("h", []byte(plain("h", i)))
		time.Sleep(50 * time.Millisecond)
	}
	out := s.await(n)
	stop()
	for i, o := range out {
		if read(t, o).Columns.N != i || len(out) != n {
			t.Fatalf("output %d of %d is row %d", i, len(out), read(t, o).Columns.N)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// A batch that ends inside an aggregate is taken up behind its last row, not behind the
// aggregate nor before it.
func TestACheckpointLiesInsideAnAggregate(t *testing.T) {
	s := newSite(t, 1)
	var b kpl.Builder
	const n = 12_000 // more than a batch
	for i := range n {
		b.Add(kpl.Record{PartitionKey: []byte("h"), Data: fmt.Appendf(nil, `{"name":"q","hostIdentifier":"h","columns":{"n":"%d"}}`, i)})
	}
	s.put("h", b.Append(nil))
	s.block = make(chan struct{})
	stop := s.consume("a")
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s.mu.Lock()
		waiting := s.waiting
		s.mu.Unlock()
		if waiting > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is to be delivered")
		}
	}
	l, err := s.table.Get(t.Context(), "shardId-000000000000")
	if err != nil || l.Sub != 9_999 || l.Sent || l.Offset != 10_000 {
		t.Errorf("checkpoint %+v, %v", l.Progress, err)
	}
	stop() // the first batch is committed, and not delivered
	close(s.block)
	s.consume("b")
	for i, o := range s.await(n) {
		if read(t, o).Columns.N != i {
			t.Fatalf("output %d is row %d", i, read(t, o).Columns.N)
		}
	}
}

// A sink that is away for three lease periods: no lease is lost, though another stands
// ready, which reads nothing meanwhile; and nothing is told twice.
func TestABlockedSinkLosesNoLease(t *testing.T) {
	s := newSite(t, 2)
	const n = 40
	for i := range n {
		s.put(fmt.Sprint("h", i%4), []byte(plain(fmt.Sprint("h", i%4), i)))
	}
	s.block = make(chan struct{})
	s.consume("a")
	owners := func() (all []string) {
		leases, err := s.table.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			all = append(all, l.Holder())
		}
		return all
	}
	blocked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.waiting
	}
	// A shard of which nothing is under way may be handed over at once.
	for deadline := time.Now().Add(patience); !slices.Equal(owners(), []string{"a", "a"}) || blocked() < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("held by %v, %d blocked", owners(), blocked())
		}
	}
	var reads atomic.Int32
	watched := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target := r.Header.Get("X-Amz-Target"); strings.HasSuffix(target, ".GetRecords") || strings.HasSuffix(target, ".GetShardIterator") {
			reads.Add(1)
		}
		s.front.ServeHTTP(w, r)
	}))
	t.Cleanup(watched.Close)
	s.endpoint = watched.URL
	s.consume("b")
	for end := time.Now().Add(3 * period); time.Now().Before(end); time.Sleep(period / 4) {
		if got := owners(); !slices.Equal(got, []string{"a", "a"}) {
			t.Fatalf("held by %v while the sink is away", got)
		}
	}
	if n := reads.Load(); n > 0 {
		t.Errorf("another read %d times from shards that are held", n)
	}
	close(s.block)
	s.await(n)
	for deadline := time.Now().Add(patience); reads.Load() == 0; time.Sleep(50 * time.Millisecond) { // a shard changes hands now
		if time.Now().After(deadline) {
			t.Fatal("the other never reads")
		}
	}
	time.Sleep(period)
	seen := map[int]bool{}
	for _, o := range s.output() {
		if row := read(t, o).Columns.N; seen[row] {
			t.Errorf("row %d is told twice", row)
		} else {
			seen[row] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.logs.String(), "lease lost") {
		t.Error("a lease was lost")
	}
}

func exec(pid int) []byte {
	return fmt.Appendf(nil, `{"name":"process_events","hostIdentifier":"h","unixTime":1760000000,"columns":{"eid":"1","pid":"%d","parent":"1","path":"/bin/p%d","cmdline":"p","time":"1760000000","syscall":"execve"},"action":"added"}`, pid, pid)
}

func connect(pid int) []byte {
	return fmt.Appendf(nil, `{"name":"socket_events","hostIdentifier":"h","unixTime":1760000005,"columns":{"eid":"2","action":"connect","pid":"%d","path":"","remote_address":"203.0.113.9","remote_port":"443","time":"1760000005"},"action":"added"}`, pid)
}

// State goes with the shard. Where it is lost, or was never kept, events say so, under
// a revision above all earlier ones.
func TestStateGoesWithTheShardAndItsLossIsTold(t *testing.T) {
	front, dynamo := kinesistest.Real(t), kinesistest.Dynamo(t)
	for name, c := range map[string]struct {
		journal bool
		lose    func(t *testing.T, dir string)
		epoch   int
	}{
		"kept":    {true, func(*testing.T, string) {}, 0},
		"lost":    {true, func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "lost"))) }, 1},
		"damaged": {true, func(t *testing.T, dir string) { damage(t, dir) }, 1},
		"none":    {false, func(*testing.T, string) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSiteOn(t, front, dynamo, name, 1)
			s.wait = 3 * time.Second // what is not known is told without
			dir := s.journal
			if !c.journal {
				s.journal = ""
			}
			stop := s.consume("a")
			s.put("h", exec(7))
			s.await(1)
			stop()
			c.lose(t, dir)
			s.put("h", connect(7))
			s.consume("b")
			v := read(t, s.await(2)[1])
			partial := slices.ContainsFunc(v.Enrichment.Gaps, func(g struct{ Reason string }) bool { return g.Reason == "state_partial" })
			if v.Enrichment.Event.Revision != c.epoch<<20 || partial != (c.epoch > 0) || (v.Enrichment.Process.Executable == "/bin/p7") != (c.epoch == 0) {
				t.Errorf("%+v", v.Enrichment)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func damage(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("sjj1"), 0o600)
	}))
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
