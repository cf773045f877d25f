package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkacodec"
	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// What goes through the enricher.
const (
	enricherRows       = 300_000
	enricherWarm       = 30_000
	enricherPartitions = 6
	enricherIndicators = 1_000_000
	barEnricherCPU     = 3.5 // docs/decisions/2026-11-27-enricher-cpu.md
	enrichedTopic      = "osquery.enriched"
	stateTopic         = "bench.state"
	copyTopic          = "copy"
	copyStateTopic     = "copy.state"
)

// enricher measures a row's way from topic to topic, with every join and a million
// indicators, beside a client that copies: in transactions of the same size, as many
// records and bytes as the enricher wrote, its state among them.
func (b *bench) enricher(ctx context.Context) (err error) {
	s, stop, err := b.stream(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.createTopics(ctx); err != nil {
		return err
	}
	ours, err := s.ours(ctx)
	if err != nil {
		return err
	}
	in, out, changes, kept, err := s.sizes(ctx)
	if err != nil {
		return err
	}
	same, err := s.copier(ctx, "same")
	if err != nil {
		return err
	}
	plain, err := s.copier(ctx, "plain")
	if err != nil {
		return err
	}
	b.table.atMost("enricher / copy of the same bytes: CPU per row", fmt.Sprintf("%.2fx, %.1f us against %.1f us", ours/same, ours, same), ours/same, barEnricherCPU)
	b.table.note("  beside a plain copy of the input", fmt.Sprintf("%.2fx, %.1f us", ours/plain, plain))
	b.table.note("  output, state / input bytes; records a row", fmt.Sprintf("%.2fx, %.2fx; %.2f, %.2f", out.per(in.bytes), changes.per(in.bytes),
		float64(out.records)/float64(in.records), float64(changes.records)/float64(in.records)))
	hours := float64(in.records) / rowsOfAHostHour
	b.table.note("state: bytes of a host-hour", fmt.Sprintf("%.0f KiB written, %.0f KiB kept in %.0f keys; of %d rows, %.0f KiB", float64(changes.bytes)/hours/1024,
		float64(kept.bytes)/hours/1024, float64(kept.records)/hours, rowsOfAHostHour, float64(in.bytes)/hours/1024))
	return nil
}

// stream starts a broker for rows, which stop ends.
func (b *bench) stream(ctx context.Context) (s *streamBench, stop func(), err error) {
	br, err := startBroker(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(br.addr), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		br.stop()
		return nil, nil, fmt.Errorf("kafka: %w", err)
	}
	stop = func() {
		client.Close()
		br.stop()
	}
	return &streamBench{bench: b, addr: br.addr, client: client, rows: newEndpoints(60)}, stop, nil
}

// streamBench is a broker with rows in it.
type streamBench struct {
	*bench
	addr   string
	client *kgo.Client
	rows   *endpoints
	total  int64
}

func (s *streamBench) createTopics(ctx context.Context) error {
	admin := kadm.NewClient(s.client)
	compact := "compact"
	for topic, configs := range map[string]map[string]*string{
		enrichedTopic: nil, "osquery.findings": nil, copyTopic: nil, "bench.results": nil,
		stateTopic: {"cleanup.policy": &compact}, copyStateTopic: {"cleanup.policy": &compact},
	} {
		if _, err := admin.CreateTopic(ctx, enricherPartitions, 1, configs, topic); err != nil {
			return fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	return nil
}

// produce writes n more rows.
func (s *streamBench) produce(ctx context.Context, n int) error {
	records := make([]*kgo.Record, n)
	for i := range records {
		key, value := s.rows.next()
		records[i] = &kgo.Record{Topic: "bench.results", Key: key, Value: value}
	}
	s.total += int64(n)
	return produce(ctx, s.client, records)
}

// ours is the enricher's CPU for each row, in microseconds.
func (s *streamBench) ours(ctx context.Context) (float64, error) {
	program, err := loggertest.BuildProgram(ctx, "./cmd/enricher", filepath.Join(s.dir, "enricher"))
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what
	}
	config, err := s.configure()
	if err != nil {
		return 0, err
	}
	if out, err := exec.CommandContext(ctx, program, "validate", "--config", config).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("enricher: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, program, "run", "--config", config)
	cmd.Stderr = os.Stderr
	return s.consumer(ctx, cmd, "bench")
}

// configure writes the enricher's configuration with a feed.
func (s *streamBench) configure() (string, error) {
	feed := filepath.Join(s.dir, "feed.txt")
	if err := writeFile(feed, func(w *bufio.Writer) { writeAddresses(w, enricherIndicators, 1) }); err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "enricher.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: bench\ninputs: {results: [bench.results]}\nsessions: 1\nstate: {dir: %s}\nfeeds: [{name: bench, path: %s}]\nlog: {level: warn}\n",
		s.addr, filepath.Join(s.dir, "state"), feed)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func writeFile(path string, fill func(*bufio.Writer)) error {
	file, err := os.Create(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	w := bufio.NewWriter(file)
	fill(w)
	return errors.Join(w.Flush(), file.Close())
}

// consumer runs cmd, which reads the rows as that group, and returns what it spends on
// each of those that come while it is held.
func (s *streamBench) consumer(ctx context.Context, cmd *exec.Cmd, group string) (cpu float64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%s: %w", group, err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		err = errors.Join(err, ended(cmd))
	}()
	if s.total == 0 {
		if err := s.produce(ctx, enricherWarm); err != nil {
			return 0, err
		}
	}
	if err := s.committed(ctx, group); err != nil {
		return 0, err
	}
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	if err := s.produce(ctx, enricherRows); err != nil {
		return 0, err
	}
	before, err := loggertest.CPU(cmd.Process.Pid)
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	if err := s.committed(ctx, group); err != nil {
		return 0, err
	}
	after, err := loggertest.CPU(cmd.Process.Pid)
	return (after - before).Seconds() * 1e6 / enricherRows, err //nolint:wrapcheck // it says what
}

func ended(cmd *exec.Cmd) error {
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}

// committed waits until a group has committed all that was produced.
func (s *streamBench) committed(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	admin := kadm.NewClient(s.client)
	for {
		var sum int64
		if offsets, err := admin.FetchOffsets(ctx, group); err == nil {
			for _, o := range offsets["bench.results"] {
				sum += max(o.At, 0)
			}
		}
		if sum >= s.total {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("group %s has committed %d of %d rows: %w", group, sum, s.total, err)
		}
	}
}

// volume is what a topic holds.
type volume struct{ records, bytes int64 }

func (v volume) per(bytes int64) float64 { return float64(v.bytes) / float64(bytes) }

// sizes are those of the rows, of what was told, of the changes of state, and of what is
// left of those when only the last of each key is kept.
func (s *streamBench) sizes(ctx context.Context) (in, out, changes, kept volume, err error) {
	last := map[string]int{}
	for topic, v := range map[string]*volume{"bench.results": &in, enrichedTopic: &out, stateTopic: &changes} {
		records, readErr := readAll(ctx, s.addr, topic)
		err = errors.Join(err, readErr)
		for _, r := range records {
			v.records, v.bytes = v.records+1, v.bytes+int64(len(r.Key)+len(r.Value))
			if topic == stateTopic {
				last[string(r.Key)] = len(r.Value)
			}
		}
	}
	for key, size := range last {
		if size > 0 {
			kept.records, kept.bytes = kept.records+1, kept.bytes+int64(len(key)+size)
		}
	}
	return in, out, changes, kept, err
}

// copier measures a client that copies, as CPU microseconds for each row.
func (s *streamBench) copier(ctx context.Context, what string) (float64, error) {
	cmd := self(ctx, "copier", s.addr, what, "bench.results")
	return s.consumer(ctx, cmd, "copier-"+what)
}

// readAll is every committed record of a topic, partition by partition.
func readAll(ctx context.Context, addr, topic string) (records []*kgo.Record, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records, nil
}

// endpoints makes rows of hosts whose processes start each other, look names up,
// connect and write files, as stock osquery on Linux tells them.
type endpoints struct {
	rng   *rand.Rand
	hosts []endpoint
	turn  int
	left  int
}

type endpoint struct {
	agent    string
	now      int64 // when the call was made
	seq, row int
	pids     []int
	names    []string // addresses that were looked up last
}

// callRows is how many rows share a call, callEvery how many seconds of events.
const (
	callRows  = 20
	callEvery = 10
	// rowsOfAHostHour is how many come of one host in an hour of its clock.
	rowsOfAHostHour = 3600 / callEvery * callRows
)

func newEndpoints(n int) *endpoints {
	e := &endpoints{rng: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // test data
	for i := range n {
		e.hosts = append(e.hosts, endpoint{agent: fmt.Sprintf("6f1c9b1e-7d5c-4c55-9d6e-%012d", i), now: 1_795_428_000, seq: -1, pids: []int{1}})
	}
	return e
}

// next is the next row and its key.
func (e *endpoints) next() (key, value []byte) {
	if e.left == 0 {
		e.turn, e.left = (e.turn+1)%len(e.hosts), callRows
		h := &e.hosts[e.turn]
		h.seq, h.row, h.now = h.seq+1, 0, h.now+callEvery
	}
	e.left--
	h := &e.hosts[e.turn]
	name, columns := e.columns(h)
	prev := "null"
	if h.seq > 0 {
		prev = fmt.Sprintf(`"00112233aabbccdd/%d"`, h.seq-1)
	}
	value = fmt.Appendf(nil, `{"name":"pack_linux_%s","hostIdentifier":"ip-10-0-3-%d.eu-central-1.compute.internal","calendarTime":"Wed Nov 25 10:12:01 2026 UTC","unixTime":%d,"epoch":0,"counter":57,"numerics":false,`+
		`"decorations":{"host_uuid":"48754d56-277e-7cb6-dd7b-f58673f0c7fd","hostname":"ip-10-0-3-17","account":"123456789012","instance_id":"i-0b22a22eec53b9321"},`+
		`"columns":{%s},"action":"added","delivery":{"agent":%q,"run":"00112233aabbccdd","seq":%d,"row":%d,"rows":%d,"prev":%s,"spooled":%q}}`,
		name, e.turn, h.now, columns, h.agent, h.seq, h.row, callRows, prev, time.Unix(h.now, 0).UTC().Format("2006-01-02T15:04:05.000Z"))
	h.row++
	return []byte(h.agent), value
}

func (e *endpoints) columns(h *endpoint) (name, columns string) {
	pid, at := h.pids[e.rng.IntN(len(h.pids))], h.now-callEvery+int64(h.row*callEvery/callRows)
	switch n := e.rng.IntN(20); {
	case n < 9:
		parent := pid
		pid = 2 + e.rng.IntN(60_000)
		if len(h.pids) < 200 {
			h.pids = append(h.pids, pid)
		} else {
			h.pids[1+e.rng.IntN(199)] = pid
		}
		return "process_events", fmt.Sprintf(`"auid":"1000","cmdline":"/usr/bin/python3 /opt/app/worker.py --queue q%d --token %016x --shard %d","ctime":"1795000000","cwd":"/srv/app/releases/%08x","egid":"1000","eid":"%010d","euid":"1000","gid":"1000","mode":"0100755","owner_gid":"0","owner_uid":"0","parent":"%d","path":"/usr/bin/python3.11","pid":"%d","status":"","syscall":"execve","time":"%d","uid":"1000","uptime":"86400"`,
			e.rng.IntN(50), e.rng.Uint64(), e.rng.IntN(512), e.rng.Uint32(), e.rng.Uint32(), parent, pid, at)
	case n < 16:
		return "socket_events", fmt.Sprintf(`"action":"connect","auid":"1000","eid":"%010d","family":"2","fd":"5","local_address":"","local_port":"0","path":"/usr/bin/python3.11","pid":"%d","protocol":"","remote_address":"%s","remote_port":"443","socket":"","status":"succeeded","success":"1","time":"%d","uptime":"86400"`,
			e.rng.Uint32(), pid, e.address(h), at)
	case n < 18:
		return "file_events", fmt.Sprintf(`"action":"CREATED","atime":"1795000000","category":"srv","ctime":"1795000000","eid":"%010d","gid":"0","hashed":"0","inode":"%d","md5":"","mode":"0644","mtime":"1795000000","sha1":"","sha256":"","size":"4096","target_path":"/srv/app/spool/%08x","time":"%d","transaction_id":"0","uid":"0"`,
			e.rng.Uint32(), e.rng.IntN(1<<20), e.rng.Uint32(), at)
	default:
		n := e.rng.IntN(5000)
		h.names = append(h.names[max(0, len(h.names)-31):], fmt.Sprintf("198.%d.%d.10", 18+n%2, n/2%256))
		return "dns_lookup_events", fmt.Sprintf(`"name":"host%d.example.com","path":"/usr/bin/python3.11","pid":"%d","response":%q,"status":"0","time":"%d","type":"A","type_id":"1"`,
			n, pid, h.names[len(h.names)-1], at)
	}
}

// address is one that the host looked up, or any of a few thousand.
func (e *endpoints) address(h *endpoint) string {
	if len(h.names) > 0 && e.rng.IntN(2) == 0 {
		return h.names[e.rng.IntN(len(h.names))]
	}
	n := e.rng.IntN(5000)
	return fmt.Sprintf("203.%d.%d.7", n%16, n/16%256)
}

// copyLimits are those of the enricher's transactions.
const (
	copyRecords = 10_000
	copyBytes   = 8 << 20
	copyLinger  = 500 * time.Millisecond
)

// copierChild copies the rows, in transactions, until it is told to stop. What it
// writes for them it has in memory: with "same" what the enricher wrote for as many.
func copierChild(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("broker, what to write and the topic to read are needed")
	}
	var outputs, changes []*kgo.Record
	if args[1] == "same" {
		var err error
		if outputs, err = readAll(ctx, args[0], enrichedTopic); err != nil {
			return err
		}
		if changes, err = readAll(ctx, args[0], stateTopic); err != nil {
			return err
		}
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(args[0]), kgo.ConsumerGroup("copier-"+args[1]), kgo.ConsumeTopics(args[2]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.TransactionalID("copier-"+args[1]), kgo.ProducerBatchCompression(kafkacodec.Zstd()...), kgo.FetchMaxBytes(copyBytes),
		kgo.FetchMaxPartitionBytes(copyBytes/4), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return fmt.Errorf("copier: %w", err)
	}
	defer session.Close()
	c := &copier{session: session, outputs: outputs, changes: changes}
	for ctx.Err() == nil {
		if err := c.transaction(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

type copier struct {
	session          *kgo.GroupTransactSession
	outputs, changes []*kgo.Record
	done             int
}

func (c *copier) transaction(ctx context.Context) error {
	records, err := c.gather(ctx)
	if err != nil || len(records) == 0 {
		return err
	}
	if err := c.session.Begin(); err != nil {
		return fmt.Errorf("copier: %w", err)
	}
	promise := kgo.AbortingFirstErrPromise(c.session.Client())
	write := func(topic string, r *kgo.Record) {
		c.session.Produce(ctx, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers}, promise.Promise())
	}
	if c.outputs == nil {
		for _, r := range records {
			write(copyTopic, r)
		}
	}
	for _, share := range []struct {
		topic string
		of    []*kgo.Record
	}{{copyTopic, c.outputs}, {copyStateTopic, c.changes}} {
		const all = enricherRows + enricherWarm // that these were written for
		for i := c.done * len(share.of) / all; i < (c.done+len(records))*len(share.of)/all; i++ {
			write(share.topic, share.of[i%len(share.of)])
		}
	}
	c.done += len(records)
	if err := c.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("copier: %w", err)
	}
	if err := promise.Err(); err != nil {
		return fmt.Errorf("copier: %w", err)
	}
	if committed, err := c.session.End(ctx, kgo.TryCommit); err != nil || !committed {
		return fmt.Errorf("copier: committed %v: %w", committed, err)
	}
	return nil
}

// gather polls as much as the enricher takes into one transaction.
func (c *copier) gather(ctx context.Context) (records []*kgo.Record, err error) {
	poll, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	bytes := 0
	for len(records) < copyRecords && bytes < copyBytes {
		fetches := c.session.PollRecords(poll, copyRecords-len(records))
		if poll.Err() != nil {
			return records, ctx.Err() //nolint:wrapcheck // the stop
		}
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("copier: %w", err)
		}
		if len(records) == 0 {
			timer := time.AfterFunc(copyLinger, cancel)
			defer timer.Stop()
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records, bytes = append(records, r), bytes+len(r.Value)
		})
	}
	return records, nil
}
