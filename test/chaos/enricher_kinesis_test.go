//go:build chaos || e2e

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// leasePeriod is how soon a dead enricher's shards go to others.
const leasePeriod = 2 * time.Second

// streams is Kinesis and DynamoDB, as real programs.
type streams struct {
	t      *testing.T
	front  *kinesistest.Front
	dynamo string
	client *awskinesis.Client

	endpoint string // what enrichers talk to
	more     string // of their kinesis section
}

func newStreams(t *testing.T) *streams {
	t.Helper()
	front := kinesistest.Real(t)
	return &streams{t: t, front: front, endpoint: front.Endpoint(), dynamo: kinesistest.Dynamo(t), client: kinesistest.Client(t, front.Endpoint())}
}

// newPushedStreams is a Kinesis whose records are pushed, by subscriptions that live for
// seconds.
func newPushedStreams(t *testing.T) *streams {
	t.Helper()
	s := newStreams(t)
	server := httptest.NewServer(&kinesistest.Subscriptions{Next: s.front, Client: s.client, Life: 10 * time.Second, Guard: time.Second, Cut: 500})
	t.Cleanup(server.Close)
	s.endpoint, s.more = server.URL, "  fan_out: true\n"
	return s
}

// kinesisJoin is a group of enrichers that read one stream and write to others.
type kinesisJoin struct {
	*join
	*streams

	t       *testing.T
	tail    *tailer
	journal string
}

func (s *streams) newJoin(binary, name, input string) *kinesisJoin {
	t := s.t
	t.Helper()
	j := &kinesisJoin{join: &join{t: t, binary: binary, dir: t.TempDir(), name: name, input: input}, streams: s, t: t}
	for _, topic := range []string{"enriched", "findings", "deadletter"} {
		kinesistest.CreateStream(t, s.front.Endpoint(), name+"."+topic, 2)
	}
	feeds, err := filepath.Abs("../../examples/feeds")
	must(t, err)
	j.journal = filepath.Join(j.dir, "journal")
	j.config = filepath.Join(j.dir, "enricher.yaml")
	must(t, os.WriteFile(j.config, fmt.Appendf(nil, `kinesis:
  endpoint: %[1]s
  region: %[2]s
  access_key: %[3]s
  secret_key: %[4]s
  leases: {endpoint: %[5]s, period: %[6]s}
  journal: %[7]s
  poll: 250ms
  commit: 300ms
%[11]sgroup: %[8]s
delivery: at_least_once
inputs: {results: [%[9]s]}
outputs: {enriched: %[8]s.enriched, findings: %[8]s.findings, deadletter: %[8]s.deadletter}
feeds: [{name: sample, path: %[10]s/sample.txt, confidence: 80, allow_private: true}]
`, s.endpoint, kinesistest.Region, kinesistest.AccessKey, kinesistest.SecretKey, s.dynamo, leasePeriod, j.journal, name, input, feeds, s.more), 0o600))
	j.log, err = os.Create(filepath.Join(j.dir, "enricher.log"))
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("enrichers said:\n%s", tail(j.words()))
		}
		_ = j.log.Close()
	})
	j.tail = newTailer(t, s.client, name+".enriched")
	return j
}

// tellTo writes rows of several hosts to a stream as logger-ext does, and returns them
// when all are there. between is called between batches.
func (s *streams) tellTo(input string, rng *rand.Rand, between func()) []*kgo.Record {
	s.t.Helper()
	to, err := kinesis.New(kinesis.Config{Connect: kinesistest.AWS, Endpoint: s.front.Endpoint(), AggregateBytes: 8 << 10})
	must(s.t, err)
	defer func() { _ = to.Close(context.Background()) }()
	retrying := sink.Retry(to, sink.RetryConfig{Initial: 50 * time.Millisecond})
	hosts := make([]*storyteller, hostsOfChaos)
	for i := range hosts {
		hosts[i] = &storyteller{
			agent: fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), i), run: fmt.Sprintf("%016x", rng.Uint64()),
			rng: split(rng), now: 1_760_000_000, pids: []int{1},
		}
	}
	var all []*kgo.Record
	send := func(batch []sink.Record) {
		must(s.t, retrying.Write(s.t.Context(), batch))
		for _, r := range batch {
			all = append(all, &kgo.Record{Key: r.Key, Value: r.Value})
		}
	}
	batch := func(h *storyteller, rows []string) (out []sink.Record) {
		for _, row := range rows {
			out = append(out, sink.Record{Topic: input, Key: []byte(h.agent), Value: []byte(row)})
		}
		return out
	}
	for len(all) < rowsOfKinesis {
		var next []sink.Record
		for range 40 {
			h := hosts[rng.IntN(len(hosts))]
			next = append(next, batch(h, h.tell())...)
		}
		send(next)
		between()
	}
	for _, h := range hosts {
		send(batch(h, h.close()))
	}
	return all
}

// shards are those of a stream, closed ones too.
func (s *streams) shards(name string) []types.Shard {
	s.t.Helper()
	out, err := s.client.ListShards(s.t.Context(), &awskinesis.ListShardsInput{StreamName: &name})
	must(s.t, err)
	return out.Shards
}

// reshard splits an open shard, or merges two, and returns when the stream takes rows
// again.
func (s *streams) reshard(name string, rng *rand.Rand) {
	s.t.Helper()
	var open []types.Shard
	before := s.shards(name)
	for _, shard := range before {
		if shard.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, shard)
		}
	}
	start := func(shard types.Shard) *big.Int { return bigOf(s.t, *shard.HashKeyRange.StartingHashKey) }
	end := func(shard types.Shard) *big.Int { return bigOf(s.t, *shard.HashKeyRange.EndingHashKey) }
	slices.SortFunc(open, func(a, b types.Shard) int { return start(a).Cmp(start(b)) })
	ctx, i := s.t.Context(), rng.IntN(len(open))
	if len(open) > 2 && i+1 < len(open) && rng.IntN(2) == 0 {
		_, err := s.client.MergeShards(ctx, &awskinesis.MergeShardsInput{StreamName: &name, ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId})
		must(s.t, err)
	} else {
		middle := new(big.Int).Rsh(new(big.Int).Add(start(open[i]), end(open[i])), 1)
		_, err := s.client.SplitShard(ctx, &awskinesis.SplitShardInput{StreamName: &name, ShardToSplit: open[i].ShardId, NewStartingHashKey: aws.String(middle.String())})
		must(s.t, err)
	}
	for deadline := time.Now().Add(patience); len(s.shards(name)) == len(before); pause(ctx, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the stream was not resharded")
		}
	}
}

func bigOf(t *testing.T, digits string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		t.Fatalf("%s is no number", digits)
	}
	return n
}

// caughtUp returns what told gives once every row is in it.
func (j *kinesisJoin) caughtUp(rows []*kgo.Record, told func() []*kgo.Record) []*kgo.Record {
	j.t.Helper()
	want := map[string]bool{}
	for _, r := range rows {
		row := read(j.t, r)
		want[row.name()] = true
	}
	for deadline := time.Now().Add(2 * patience); ; {
		got := map[string]bool{}
		out := told()
		for _, r := range out {
			got[header(r, "id")] = true
		}
		missing := 0
		for id := range want {
			if !got[id] {
				missing++
			}
		}
		if missing == 0 {
			return out
		}
		if time.Now().After(deadline) {
			j.t.Fatalf("%d of %d rows are not told\n%s", missing, len(want), tail(j.words()))
		}
		pause(j.t.Context(), 500*time.Millisecond)
	}
}

// distinct drops repeats, which have to be equal in every byte, and returns how many
// there were.
func distinct(t *testing.T, out []*kgo.Record) (once []*kgo.Record, repeats int) {
	t.Helper()
	type name struct {
		id       string
		revision int
	}
	first := map[name][]byte{}
	for _, r := range out {
		row := read(t, r)
		n := name{header(r, "id"), row.Enrichment.Event.Revision}
		was, twice := first[n]
		if twice {
			if repeats++; !bytes.Equal(was, r.Value) {
				t.Errorf("%s has two revisions %d:\n%s\n%s", n.id, n.revision, was, r.Value)
			}
			continue
		}
		first[n] = r.Value
		once = append(once, r)
	}
	return once, repeats
}

// highest is the last revision of each record, in the order of a topic.
func highest(t *testing.T, out []*kgo.Record) []*kgo.Record {
	t.Helper()
	best := map[string]*kgo.Record{}
	for _, r := range out {
		row, id := read(t, r), header(r, "id")
		if was := best[id]; was != nil {
			old := read(t, was)
			if old.Enrichment.Event.Revision >= row.Enrichment.Event.Revision {
				continue
			}
		}
		best[id] = r
	}
	return slices.Collect(maps.Values(best))
}

// Promises 4, 6 and at-least-once delivery with stable names: enrichers on a stream are
// killed, stood still past their leases and woken, started and stopped. Every revision
// of every row comes out, a repeat is equal in every byte, what waits for nothing is in
// its host's order, and the last of each is that of a calm run.
func TestKinesisEnrichersLoseNothingWhateverDies(t *testing.T) {
	kinesisJoins(t, kinesisJoinSeeds, newStreams, func(*streams, string, *rand.Rand) {})
}

// The same while shards are split and merged under way: no row of a child is told
// before those of its parents, and what was known of a host goes with it.
func TestKinesisEnrichersLoseNothingThroughSplitsAndMerges(t *testing.T) {
	kinesisJoins(t, kinesisReshardSeeds, newStreams, reshardAtTimes)
}

// The same where records are pushed.
func TestKinesisEnrichersLoseNothingWithFanOut(t *testing.T) {
	kinesisJoins(t, kinesisFanOutSeeds, newPushedStreams, reshardAtTimes)
}

func reshardAtTimes(s *streams, input string, rng *rand.Rand) {
	if rng.IntN(5) == 0 {
		s.reshard(input, rng)
	}
}

// kinesisJoins runs seeds; meanwhile is called after each batch of rows.
func kinesisJoins(t *testing.T, n int, open func(*testing.T) *streams, meanwhile func(s *streams, input string, rng *rand.Rand)) {
	t.Helper()
	binary := buildEnricher(t)
	for _, seed := range seeds(t, chaosSeeds(t, n)) {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			s, rng := open(t), rand.New(rand.NewPCG(seed, 0))
			input := fmt.Sprintf("rows-%d", seed)
			kinesistest.CreateStream(t, s.front.Endpoint(), input, 3)
			j := s.newJoin(binary, fmt.Sprintf("chaos-%d", seed), input)
			rows, starts := j.disturbed(rng, func() { meanwhile(s, input, rng) })
			out := j.caughtUp(rows, j.tail.read)
			once, repeats := distinct(t, out)
			exactlyOnce(t, rows, once)
			calm := s.newJoin(binary, fmt.Sprintf("calm-%d", seed), input)
			w := calm.start()
			want := calm.caughtUp(rows, calm.tail.read)
			w.stop()
			sameRecords(t, highest(t, once), highest(t, want))
			t.Logf("%d rows, %d records, %d repeats, %d starts, %d shards", len(rows), len(out), repeats, starts, len(s.shards(input)))
		})
	}
}

// disturbed takes rows through three enrichers that are killed and stood still.
func (j *kinesisJoin) disturbed(rng *rand.Rand, meanwhile func()) (rows []*kgo.Record, starts int) {
	j.t.Helper()
	workers := []*worker{j.start(), j.start(), j.start()}
	stop := j.trouble(workers, split(rng))
	rows = j.tellTo(j.input, rng, func() {
		pause(j.t.Context(), time.Duration(rng.IntN(600))*time.Millisecond)
		meanwhile()
	})
	pause(j.t.Context(), 3*time.Second)
	stop()
	j.caughtUp(rows, j.tail.read)
	for _, w := range workers {
		w.stop()
	}
	return rows, int(j.starts.Load())
}

// trouble kills workers, ends them and stands them still past their leases, until stop is
// called.
func (j *kinesisJoin) trouble(workers []*worker, rng *rand.Rand) (stop func()) {
	ctx, cancel := context.WithCancel(j.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for pause(ctx, time.Duration(500+rng.IntN(2500))*time.Millisecond) {
			w := workers[rng.IntN(len(workers))]
			switch rng.IntN(4) {
			case 0, 1:
				w.signal(syscall.SIGKILL)
			case 2:
				w.signal(syscall.SIGTERM)
			case 3:
				w.signal(syscall.SIGSTOP)
				pause(ctx, leasePeriod+time.Duration(rng.IntN(2000))*time.Millisecond)
				w.signal(syscall.SIGCONT)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// The whole way: logger-ext's rows to a stream, and from there through the enricher,
// while either is killed again and again. Each row that osqueryd was answered OK for is
// told, in order, and repeats are equal in every byte.
func TestRowsComeThroughKinesisWhoeverIsKilled(t *testing.T) {
	const perCall = 1_000
	binary := buildEnricher(t)
	eachSeed(t, chaosSeeds(t, kinesisChainSeeds), func(t *testing.T, rng *rand.Rand) {
		s := newStreams(t)
		s.more = "  compression: zstd\n" // the emulator takes seconds for a MiB
		newShakyKinesis(t, s.front)      // the streams
		j := s.newJoin(binary, fmt.Sprintf("chain-%d", rng.Uint32()), "osquery.results")
		h := newKinesisHost(t, s.front.Endpoint(), "compression: zstd")
		h.Interval, h.Timeout = 200*time.Millisecond, 2*time.Second
		start(t, h)
		workers := []*worker{j.start(), j.start()}
		l := &ledger{}
		for call := range callsOfChain {
			switch rng.IntN(8) {
			case 0:
				killOnce(h)
				activate(t, h)
			case 1:
				workers[rng.IntN(len(workers))].signal(syscall.SIGKILL)
			}
			err := h.LogString(t.Context(), line(call, perCall, 8, rng))
			if l.note(perCall, err); err != nil {
				activate(t, h)
			}
			pause(t.Context(), time.Duration(rng.IntN(300))*time.Millisecond)
		}
		known := map[*kgo.Record]*kgo.Record{}
		records := l.awaitIn(t, 6*patience, func() (out []*kgo.Record) {
			// What is told is not looked into before there is enough: the emulators are busy
			// enough.
			for range 20 {
				if pause(t.Context(), time.Second); len(j.tail.read()) >= l.promised() {
					break
				}
			}
			for _, r := range j.tail.read() {
				if known[r] == nil {
					known[r] = asKafka(t, string(r.Key), r.Value)
				}
				out = append(out, known[r])
			}
			return out
		})
		repeats := checkNames(t, records)
		t.Logf("%d rows promised, %d records, %d repeats, %d enricher starts", l.promised(), len(records), repeats, j.starts.Load())
	})
}
