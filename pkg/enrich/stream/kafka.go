package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Limits of one transaction: it ends at whichever comes first.
const (
	maxRecords = 10_000
	maxBytes   = 8 << 20
	linger     = 200 * time.Millisecond
)

// Time-outs of a session. Shorter than franz-go's own, since they bound how long
// a partition stands still after its owner was killed; the transaction's is the
// shorter of the two, so that a dead owner's open transaction does not outlive
// its membership.
const (
	sessionTimeout     = 20 * time.Second
	transactionTimeout = 15 * time.Second
	rebalanceTimeout   = 60 * time.Second
)

// KafkaConfig is what a Kafka session needs to know.
type KafkaConfig struct {
	// Connection holds brokers, TLS and SASL.
	Connection []kgo.Opt
	Group      string
	Inputs     []string
	// Outputs names the topic of each stream.
	Outputs map[enrich.Stream]string
	// ExactlyOnce commits output and input offsets in one transaction. Without
	// it the output is flushed first and the offsets are committed after.
	ExactlyOnce bool
	// MaxRecordBytes is the largest record the output topics take; larger
	// output goes to the dead letters. 0 means 1 MB, Kafka's default.
	MaxRecordBytes int
	// Compression of what is written; nil means zstd, else what the broker
	// takes.
	Compression []kgo.CompressionCodec
	Log         *slog.Logger
}

const defaultMaxRecordBytes = 1_000_000

func (c KafkaConfig) maxRecordBytes() int {
	if c.MaxRecordBytes > 0 {
		return c.MaxRecordBytes
	}
	return defaultMaxRecordBytes
}

// KafkaSession is one member of a consumer group with its producer. Partitions
// come and go only while Poll waits: a rebalance never finds records of a
// partition in work. It implements Session.
type KafkaSession struct {
	cfg    KafkaConfig
	client *kgo.Client
	txn    *kgo.GroupTransactSession // nil for at least once

	mu      sync.Mutex
	changes Polled // Revoked and Assigned since the last Poll

	owned map[Partition]bool
	told  time.Time // when a fetch error was last logged
}

// OpenKafka joins the group. It needs no broker to be there; use CheckKafka to
// know. The caller closes the session.
func OpenKafka(cfg KafkaConfig) (*KafkaSession, error) {
	s := &KafkaSession{cfg: cfg, owned: map[Partition]bool{}}
	opts := append(s.options(), cfg.Connection...)
	var err error
	if cfg.ExactlyOnce {
		// Every session has an id of its own: what fences a zombie is its group
		// generation (KIP-447), not a fixed transactional id.
		opts = append(opts, kgo.TransactionalID(cfg.Group+"-"+randomHex()), kgo.TransactionTimeout(transactionTimeout))
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
		codecs = []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.NoCompression()}
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(s.cfg.Inputs...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(sessionTimeout),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.FetchMaxBytes(maxBytes),
		kgo.FetchMaxPartitionBytes(maxBytes / 4),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(m, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { s.note(m, false) }),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codecs...),
		kgo.ProducerBatchMaxBytes(int32(s.cfg.maxRecordBytes() + 4096)),
		kgo.MaxBufferedRecords(1 << 20),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerLinger(0),
	}
}

// note keeps what the group decided until the next Poll tells of it. A
// partition that came and went in between is not told at all.
func (s *KafkaSession) note(m map[string][]int32, assigned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range m {
		for _, id := range ids {
			p := Partition{topic, id}
			s.changes.Assigned = without(s.changes.Assigned, p)
			if assigned {
				s.changes.Assigned = append(s.changes.Assigned, p)
				continue
			}
			s.changes.Revoked = append(without(s.changes.Revoked, p), p)
		}
	}
}

func without(all []Partition, p Partition) []Partition {
	kept := all[:0]
	for _, o := range all {
		if o != p {
			kept = append(kept, o)
		}
	}
	return kept
}

// Poll waits for records, or for partitions to come or go. It gathers for a
// moment, so that a trickle does not make a transaction of every record.
func (s *KafkaSession) Poll(ctx context.Context) (Polled, error) {
	s.client.AllowRebalance()
	byPartition, err := s.gather(ctx)
	if err != nil {
		return Polled{}, err
	}
	s.mu.Lock()
	polled := s.changes
	s.changes = Polled{}
	s.mu.Unlock()
	for _, p := range polled.Revoked {
		delete(s.owned, p)
	}
	for _, p := range polled.Assigned {
		s.owned[p] = true
	}
	if len(polled.Revoked) > 0 {
		// The session would abort its next transaction; ending one now, while
		// it holds nothing, costs less. What was polled is polled again.
		return polled, s.rewind(ctx)
	}
	for p, records := range byPartition {
		if s.owned[p] {
			polled.Batches = append(polled.Batches, Batch{Partition: p, Records: records})
		}
	}
	return polled, nil
}

// gather polls until the limits of a transaction are met, or until linger after
// the first record; without any it returns after a second, so that changes of
// the assignment are told.
func (s *KafkaSession) gather(ctx context.Context) (map[Partition][]enrich.Input, error) {
	got := map[Partition][]enrich.Input{}
	deadline := time.Now().Add(time.Second)
	records, bytes := 0, 0
	for records < maxRecords && bytes < maxBytes {
		wait, cancel := context.WithDeadline(ctx, deadline)
		fetches := s.client.PollRecords(wait, maxRecords-records)
		expired := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if fetches.IsClientClosed() {
			return nil, kgo.ErrClientClosed
		}
		fetches.EachError(s.fetchError)
		first := records == 0
		fetches.EachRecord(func(r *kgo.Record) {
			p := Partition{r.Topic, r.Partition}
			got[p] = append(got[p], input(r))
			records++
			bytes += len(r.Key) + len(r.Value)
		})
		if expired {
			break
		}
		if first && records > 0 {
			deadline = time.Now().Add(linger)
		}
	}
	return got, nil //nolint:nilerr // an expired wait is no failure
}

// logAppendTime is the timestamp type of a record whose time the broker set.
const logAppendTime = 1

func input(r *kgo.Record) enrich.Input {
	in := enrich.Input{Value: r.Value, Position: enrich.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	if r.Attrs.TimestampType() == logAppendTime {
		in.Appended = r.Timestamp
	}
	return in
}

// fetchError tells of a partition that cannot be read, at most once a minute:
// the client keeps trying by itself.
func (s *KafkaSession) fetchError(topic string, partition int32, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return
	}
	if time.Since(s.told) < time.Minute {
		return
	}
	s.told = time.Now()
	s.cfg.Log.Error("cannot read, will try again", "topic", topic, "partition", partition, "error", err)
}

// Close leaves the group. Nothing is half done afterwards: an open transaction
// is aborted, and what it read is read again by whoever takes the partitions.
func (s *KafkaSession) Close() { s.client.CloseAllowingRebalance() }
