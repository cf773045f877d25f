// Package kafka delivers records to Apache Kafka: acknowledged by all in-sync
// replicas, in order per key, without duplicates as long as one client lives.
//
// It must never decide on its own to drop a record, and never call an error
// permanent that an operator or time can mend: a missing topic, a refused
// login, a policy, a broker that is away all hold the line. How to reach the
// brokers is the caller's to say, in franz-go options.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

const (
	defaultBatchBytes     = 1_000_000 // fits Kafka's default message.max.bytes
	defaultMaxRecordBytes = 64 << 20  // fits Kafka's default socket.request.max.bytes with room
	largestRecordBytes    = 1<<30 - batchOverhead
	maxChunkRecords       = 10_000 // well under the client's limit of buffered records

	// batchOverhead is more than the client adds to one record alone in a
	// batch, and to one batch alone in a request, topic name included.
	batchOverhead = 4096
)

// Config says where and how a Sink sends. The zero value of a field means its
// default.
type Config struct {
	// Options say how to reach the brokers: seeds, TLS, SASL, client id,
	// logger, hooks. What a Sink promises (acknowledgements, idempotence,
	// partitioner, sizes) it sets itself, over these.
	Options []kgo.Opt
	// Compression of batches: none (the default), gzip, snappy, lz4 or zstd.
	Compression string
	// BatchBytes bounds the records, before compression, that go in one
	// request; a larger record goes alone. The default of 1,000,000 fits a
	// broker's default limit. Set it to less where the broker's
	// message.max.bytes is less.
	BatchBytes int
	// MaxRecordBytes bounds one record before compression: one over it is
	// refused, permanently, without asking the broker. Below it the broker's
	// own limit, which counts after compression, decides. The default is
	// 64 MiB; a broker whose socket.request.max.bytes is under twice that
	// needs it lower, for it hangs up on a larger request without a word.
	MaxRecordBytes int
	// RequestTimeout is how long a broker may take to have a request
	// acknowledged by its replicas. The default is 10 seconds.
	RequestTimeout time.Duration
}

// Sink is a sink.Sink that writes to Kafka. A record's Key chooses the
// partition as Kafka's own clients do (murmur2); a nil Key leaves it to chance.
// A nil Value is Kafka's null, an empty one is empty.
//
// The client retries what can be retried for as long as Write's ctx lives, so
// a caller that wants to be told of trouble gives Write a deadline
// (sink.Timeout). When ctx ends with requests unanswered, the client is thrown
// away with them, since only so can Write return: the next Write begins on a
// new one, and what the old one had in flight may then be in the topic twice.
type Sink struct {
	opts       []kgo.Opt
	batchBytes int
	restamped  atomic.Uint64
	trouble    *trouble
	// attempt is the memory of the last Write that delivered everything.
	attempt *attempt

	mu     sync.Mutex // guards client and closed
	client *kgo.Client
	closed bool
}

var errClosed = errors.New("kafka: the sink is closed")

// New returns a Sink, or an error that names what in cfg cannot be. It does not
// touch the network: the first Write connects.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// The smaller bound, so that a record the client refuses is alone in its
	// chunk and nothing passes it.
	s := &Sink{batchBytes: min(cfg.BatchBytes, cfg.MaxRecordBytes), trouble: new(trouble)}
	opts, err := options(cfg, s.trouble)
	if err != nil {
		return nil, err
	}
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	s.opts = opts
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Compression == "" {
		c.Compression = "none"
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = defaultBatchBytes
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = defaultMaxRecordBytes
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.BatchBytes < 0:
		return fmt.Errorf("kafka: batch bytes %d: must be positive", c.BatchBytes)
	case c.MaxRecordBytes < 0 || c.MaxRecordBytes > largestRecordBytes:
		return fmt.Errorf("kafka: max record bytes %d: must be positive and at most %d", c.MaxRecordBytes, largestRecordBytes)
	case c.RequestTimeout < 100*time.Millisecond:
		return fmt.Errorf("kafka: request timeout %v: must be at least 100ms", c.RequestTimeout)
	}
	return nil
}

// Write implements sink.Sink. A *sink.BatchError tells exactly which records
// are not known to be durable; an error of any other kind, that none is.
func (s *Sink) Write(ctx context.Context, batch []sink.Record) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	client, err := s.connect()
	if err != nil {
		return err
	}
	a := s.attempt
	if a == nil {
		a = &attempt{sink: s}
	}
	a.begin(ctx, client, batch)
	a.run()
	err = a.result()
	// After a failure the client may look at records once more.
	if s.attempt = nil; err == nil {
		a.end()
		s.attempt = a
	}
	switch {
	case err != nil && a.spoiled():
		s.discard(client)
	case err != nil:
		client.ForceMetadataRefresh() // what it knows of a topic may be mended by now
	}
	return err
}

// Restamped counts records that were sent again with another timestamp, since
// the broker did not take theirs: this host's clock, or the broker's, is wrong.
func (s *Sink) Restamped() uint64 { return s.restamped.Load() }

// Close implements sink.Sink. It never waits for a broker; ctx is not needed
// to bound it. A second Close does nothing.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	client := s.client
	s.client, s.closed = nil, true
	s.mu.Unlock()
	if client != nil {
		client.Close()
	}
	return nil
}

// connect returns the client, making one where there is none.
func (s *Sink) connect() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.client == nil {
		client, err := kgo.NewClient(s.opts...)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		s.client = client
	}
	return s.client, nil
}

// discard throws the client away, so that the next Write makes another.
func (s *Sink) discard(client *kgo.Client) {
	s.mu.Lock()
	if s.client == client {
		s.client = nil
	}
	s.mu.Unlock()
	client.Close()
}
