package kafka

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkacodec"
)

// idleTimeout keeps connections open between the batches of a quiet host. It
// stays under the ten minutes after which a broker closes them.
const idleTimeout = 9 * time.Minute

// metadataPause is the shortest time between two questions after a moved
// leader or a new topic: the client's own 5 seconds hold up every recovery.
const metadataPause = time.Second

// options are the client's: defaults, the caller's, then what the Sink promises.
func options(cfg Config, t *trouble) ([]kgo.Opt, error) {
	codec, err := codecOf(cfg.Compression)
	if err != nil {
		return nil, err
	}
	maxBatch := int32(cfg.MaxRecordBytes + batchOverhead)
	opts := []kgo.Opt{kgo.ConnIdleTimeout(idleTimeout), kgo.MetadataMinAge(metadataPause)}
	opts = append(opts, cfg.Options...)
	return append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()), // with idempotence, which is the default
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ManualFlushing(), // one batch a partition and chunk, not one for its first record
		kgo.ProducerBatchCompression(codec...),
		kgo.ProducerBatchMaxBytes(maxBatch),
		kgo.BrokerMaxWriteBytes(min(1<<30, maxBatch+batchOverhead)),
		kgo.ProduceRequestTimeout(cfg.RequestTimeout),
		kgo.DisableClientMetrics(),
		kgo.WithHooks(t),
	), nil
}

func codecOf(name string) ([]kgo.CompressionCodec, error) {
	codec := kgo.NoCompression()
	switch name {
	case "none":
	case "gzip":
		codec = kgo.GzipCompression()
	case "snappy":
		codec = kgo.SnappyCompression()
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		return kafkacodec.Zstd(), nil
	default:
		return nil, fmt.Errorf("kafka: compression %q: must be none, gzip, snappy, lz4 or zstd", name)
	}
	return []kgo.CompressionCodec{codec, kgo.NoCompression()}, nil
}

// trouble remembers the last failure to connect, which the client keeps to
// itself while it retries. It is a hook of the client, safe for concurrent use.
type trouble struct {
	mu   sync.Mutex
	last error
}

// OnBrokerConnect implements kgo.HookBrokerConnect; err covers dialing, TLS and
// SASL.
func (t *trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

// explain adds what is known of the connection to err.
func (t *trouble) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return err
	}
	if errors.Is(t.last, kerr.SaslAuthenticationFailed) {
		return fmt.Errorf("%w: last connection: %w", err, t.last) // NeedsHand wants to know
	}
	return fmt.Errorf("%w (last connection: %v)", err, t.last) //nolint:errorlint // told, not to be matched
}
