package kinesis

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stackjoin/stackjoin/pkg/kpl"
	"github.com/stackjoin/stackjoin/pkg/sink"
)

// largestKey is the most that a partition key may have, in characters; counted in
// bytes here, which is never less.
const largestKey = 256

// PartitionKey is what a record's Key becomes: itself where Kinesis takes it, else
// a name by its SHA-256. Keys of one partition key are one key.
func PartitionKey(key []byte) string {
	if len(key) > 0 && len(key) <= largestKey && utf8.Valid(key) {
		return string(key)
	}
	sum := sha256.Sum256(key)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// entry is one Kinesis record on its way.
type entry struct {
	lane *lane
	// records are the indexes in the batch that it holds.
	records []int
	data    []byte
	size    int // as the service counts
}

// coder puts records into entries' bytes. One goroutine uses it.
type coder struct {
	aggregate Aggregate
	// most is what an entry of several records may have before compression.
	most    int
	builder kpl.Builder
	pack    func(data []byte) []byte // nil without compression
}

func newCoder(cfg Config) (*coder, error) {
	c := &coder{aggregate: cfg.Aggregate, most: cfg.AggregateBytes}
	switch cfg.Compression {
	case "none":
	case "gzip":
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		c.pack = func(data []byte) []byte {
			buf.Reset()
			w.Reset(&buf)
			_, _ = w.Write(data) // into memory
			_ = w.Close()
			return bytes.Clone(buf.Bytes())
		}
	case "zstd":
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		c.pack = func(data []byte) []byte { return w.EncodeAll(data, nil) }
	default:
		return nil, fmt.Errorf("compression %q: must be none, gzip or zstd", cfg.Compression)
	}
	return c, nil
}

// encode puts records of one key, from the first on and at most limit of them, into
// one entry's data. It returns how many: at least one.
func (c *coder) encode(key string, batch []sink.Record, index []int, limit int) (data []byte, n int) {
	switch c.aggregate {
	case KPL:
		data, n = c.encodeKPL(key, batch, index[:min(limit, len(index))])
	case NDJSON:
		data, n = c.encodeLines(len(key), batch, index[:min(limit, len(index))])
	default:
		data, n = batch[index[0]].Value, 1
	}
	if c.pack != nil {
		if packed := c.pack(data); len(packed) < len(data) {
			data = packed
		}
	}
	return data, n
}

func (c *coder) encodeKPL(key string, batch []sink.Record, index []int) (data []byte, n int) {
	c.builder.Reset()
	for _, i := range index {
		r := kpl.Record{PartitionKey: []byte(key), Data: batch[i].Value}
		if c.builder.Len() > 0 && len(key)+c.builder.SizeWith(r) > c.most {
			break
		}
		c.builder.Add(r)
	}
	// A record alone needs no aggregate, unless it would be taken for one.
	if first := batch[index[0]].Value; c.builder.Len() == 1 && !kpl.IsAggregate(first) {
		return first, 1
	}
	return c.builder.Append(make([]byte, 0, c.builder.Size())), c.builder.Len()
}

func (c *coder) encodeLines(room int, batch []sink.Record, index []int) (data []byte, n int) {
	for _, i := range index {
		value := batch[i].Value
		room += len(value) + 1
		ended := bytes.IndexByte(value, '\n') >= 0
		if n > 0 && (ended || room > c.most) {
			break
		}
		data = append(append(data, value...), '\n')
		if n++; ended {
			break
		}
	}
	return data, n
}
