package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkacodec"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream/balance"
)

// Time-outs of a session. Shorter than franz-go's own, since they bound how long
// a partition stands still after its owner was killed: brokers take no session that
// is shorter, unless told to (group.min.session.timeout.ms). A dead owner's open
// transaction is ended by who follows it (fencer), or else at its time-out.
const (
	sessionTimeout     = 6 * time.Second
	heartbeat          = 1500 * time.Millisecond
	transactionTimeout = 15 * time.Second
	rebalanceTimeout   = 60 * time.Second
)

// fetchWait is how long a broker may sit on a fetch that finds nothing: a partition
// whose state has just come is not asked for before the fetch under way returns.
const fetchWait = 500 * time.Millisecond

// KafkaConfig is what a Kafka session needs to know.
type KafkaConfig struct {
	// Connection holds brokers, TLS and SASL.
	Connection []kgo.Opt
	Group      string
	// Inputs are the topics to read: with several, the partitions of one number
	// are one partition of the join. All have as many partitions as StateTopic.
	Inputs []string
	// Sensors are those of the Inputs that hold network sensors' logs, and Side is the
	// one that holds side records, if any does; the others hold osquery's rows, or
	// what the pipelines' Router takes.
	Sensors []string
	Side    string
	// Outputs names the topic of each stream.
	Outputs map[enrich.Stream]string
	// StateTopic is the compacted topic of the operators' state.
	StateTopic string
	// StateDir is where copies of the state are kept between runs. Empty keeps
	// them in memory.
	StateDir string
	// StateFormat is the format to write state in, 0 for the newest.
	StateFormat int
	// AcceptStateLoss starts with no state where the group has offsets and the
	// state topic has nothing.
	AcceptStateLoss bool
	// ExactlyOnce commits output, state and input offsets in one transaction.
	// Without it the output is flushed first, then the state, and the offsets are
	// committed after: rows that come again may then meet a state that has seen
	// them.
	ExactlyOnce bool
	// MaxRecordBytes is the largest record the output topics take; larger
	// output goes to the dead letters. 0 means 1 MB, Kafka's default.
	MaxRecordBytes int
	// Compression of what is written; nil means zstd, else what the broker
	// takes.
	Compression []kgo.CompressionCodec
	// Monitor, when set, is told how partitions and transactions fare.
	Monitor Monitor
	Log     *slog.Logger

	limits   *limits       // of one session and those that take its place
	pause    time.Duration // after an abort
	ending   time.Duration // that the end of a transaction may take
	patience time.Duration // with a topic that brings nothing to merge
}

const defaultMaxRecordBytes = 1_000_000

func (c KafkaConfig) maxRecordBytes() int {
	if c.MaxRecordBytes > 0 {
		return c.MaxRecordBytes
	}
	return defaultMaxRecordBytes
}

// KafkaSession is one member of a consumer group with its producer, and the
// workers of the partitions it was given. Partitions come and go only while Poll
// waits: a rebalance never finds records of a partition in work. It implements
// Session.
type KafkaSession struct {
	cfg    KafkaConfig
	client *kgo.Client
	txn    *kgo.GroupTransactSession // nil for at least once
	writer string                    // the end of its transactional id, which is the session's own
	fencer *fencer                   // nil for at least once
	limits *limits
	turn   int           // which suspect is tried next
	ended  time.Duration // how long the last transaction took
	told   time.Time     // when a fetch error was last logged
	// opened is closed once client is set. The group may have partitions for this
	// member before the client was returned to us.
	opened chan struct{}

	// What the group's own goroutine changes, while Poll waits.
	mu        sync.Mutex
	workers   map[int32]*worker
	assigned  map[string][]int32 // the last assignment as a whole
	commits   map[Partition]commit
	topicIDs  map[string][16]byte // of the inputs
	revoked   []Partition         // not yet told by Poll
	unsettled bool                // partitions were revoked since the last transaction
	wake      func()
}

// commit is an offset that the group has committed.
type commit struct {
	offset   int64 // -1 for none
	metadata string
}

// OpenKafka joins the group. It needs no broker to be there; use CheckKafka to
// know. The caller closes the session.
func OpenKafka(cfg KafkaConfig) (*KafkaSession, error) {
	s := &KafkaSession{
		cfg: cfg, limits: cfg.limits,
		workers: map[int32]*worker{}, commits: map[Partition]commit{}, wake: func() {}, opened: make(chan struct{}),
	}
	defer close(s.opened)
	if s.limits == nil {
		s.limits = newLimits()
	}
	if s.cfg.pause == 0 {
		s.cfg.pause = abortPause
	}
	if s.cfg.ending == 0 {
		s.cfg.ending = transactionTimeout
	}
	if s.cfg.patience == 0 {
		s.cfg.patience = mergePatience
	}
	if s.cfg.Monitor == nil {
		s.cfg.Monitor = unwatched{}
	}
	if cfg.ExactlyOnce {
		s.writer = randomHex()
		s.fencer = newFencer(cfg.Group, s.writer, func() *kgo.Client { return s.client }, cfg.Log)
	}
	opts := s.options()
	if cfg.ExactlyOnce {
		// Every session has an id of its own: what fences a zombie is its group
		// generation (KIP-447), not a fixed transactional id.
		opts = append(opts, kgo.TransactionalID(cfg.Group+"-"+s.writer), kgo.TransactionTimeout(transactionTimeout))
	}
	opts = append(opts, cfg.Connection...)
	var err error
	if cfg.ExactlyOnce {
		if s.txn, err = kgo.NewGroupTransactSession(opts...); err == nil {
			s.client = s.txn.Client()
		}
	} else {
		s.client, err = kgo.NewClient(opts...)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka group %s: %w", cfg.Group, err)
	}
	return s, nil
}

func randomHex() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func (s *KafkaSession) options() []kgo.Opt {
	codecs := s.cfg.Compression
	if len(codecs) == 0 {
		codecs = kafkacodec.Zstd()
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(s.cfg.Inputs...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last before the end
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeat),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(maxBytes),
		kgo.FetchMaxPartitionBytes(maxBytes / 4),
		kgo.Balancers(&witness{balance.Copartition(s.writer), s.note}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.assign(m) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.revoke(m) }),
		kgo.OnOffsetsFetched(s.fetchedOffsets),
		kgo.AdjustFetchOffsetsFn(s.begin),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(partitioner{s.cfg.StateTopic, s.cfg.Outputs[enrich.Sides], kgo.StickyKeyPartitioner(nil)}),
		kgo.ProducerBatchCompression(codecs...),
		kgo.ProducerBatchMaxBytes(int32(s.cfg.maxRecordBytes() + 4096)),
		kgo.MaxBufferedRecords(1 << 20),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerLinger(0),
	}
}

// partitioner leaves records of the state topic in the partition they name, that of
// the input, and those of the side topic that name one. Others go by their key, as
// Kafka's own producers have them go.
type partitioner struct {
	state, side string
	kgo.Partitioner
}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	switch topic {
	case p.state:
		return kgo.ManualPartitioner().ForTopic(topic)
	case p.side:
		return named{p.Partitioner.ForTopic(topic)}
	}
	return p.Partitioner.ForTopic(topic)
}

// named goes by the partition that a record names, if it does.
type named struct{ kgo.TopicPartitioner }

func (n named) RequiresConsistency(*kgo.Record) bool { return true }

func (n named) Partition(r *kgo.Record, partitions int) int {
	if r.Partition >= 0 {
		return int(r.Partition) // one that is not there is an error of the client's
	}
	return n.TopicPartitioner.Partition(r, partitions)
}

// Close leaves the group. Nothing is half done afterwards: an open transaction
// is aborted, and what it read is read again by whoever takes the partitions.
func (s *KafkaSession) Close() {
	if s.fencer != nil {
		s.fencer.stop()
		defer s.fencer.running.Wait() // no partition comes any more, then
	}
	s.client.CloseAllowingRebalance()
	s.mu.Lock()
	left := s.workers
	s.workers = map[int32]*worker{}
	s.mu.Unlock()
	for _, w := range left {
		s.stop(w)
	}
}
