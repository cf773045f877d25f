package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// maxUnpacked bounds what one Kinesis record holds when decompressed. A record has at
// most 10 MiB, and who makes one that is more than this means harm.
const maxUnpacked = 64 << 20

// Packed is one Kinesis record as it was read.
type Packed struct {
	PartitionKey, Sequence string
	Data                   []byte
	Arrived                time.Time
}

// Unpacker takes Kinesis records of one shard apart. It is for one goroutine.
type Unpacker struct {
	// Source is what names of records begin with.
	Source string
	// Hashes is the shard's part of the hash space.
	Hashes kpl.HashRange

	zstd *zstd.Decoder
	gzip *gzip.Reader
}

// Record is one record of a sender's, with its number inside the Kinesis record.
type Record struct {
	Sub   int64
	Input enrich.Input
}

// Unpack appends what p holds: the records of a KPL aggregate that belong to the
// shard, lines that each ended with a line end, log events of a CloudWatch Logs
// envelope, or the data itself; all of which may be compressed with gzip or zstd.
// Numbers inside a record do not depend on which of them belong to the shard. What
// cannot be taken apart is one Input that is Broken. The inputs have no Position but
// a Name, and share p's bytes where they can.
func (u *Unpacker) Unpack(dst []Record, p *Packed) []Record {
	data, err := u.plain(p.Data)
	if err != nil {
		return append(dst, u.broken(p, err))
	}
	a, aggregate, err := kpl.Parse(data)
	switch {
	case err != nil:
		return append(dst, u.broken(p, err))
	case aggregate:
		return u.aggregate(dst, p, a)
	}
	events, envelope, err := logEvents(data)
	switch {
	case err != nil:
		return append(dst, u.broken(p, err))
	case envelope:
		for i, text := range events {
			dst = append(dst, u.record(p, int64(i), []byte(p.PartitionKey), []byte(text)))
		}
		return dst
	}
	return u.lines(dst, p, data)
}

// record makes the record of a value with this number and key.
func (u *Unpacker) record(p *Packed, sub int64, key, value []byte) Record {
	name := u.Source + "/" + p.Sequence + "/" + strconv.FormatInt(sub, 10)
	return Record{sub, enrich.Input{Key: key, Value: value, Appended: p.Arrived, Name: name}}
}

func (u *Unpacker) broken(p *Packed, err error) Record {
	r := u.record(p, 0, []byte(p.PartitionKey), p.Data)
	r.Input.Broken = err
	return r
}

func (u *Unpacker) aggregate(dst []Record, p *Packed, a kpl.Aggregate) []Record {
	for i, r := range a.All() {
		hash, err := r.Hash()
		if err != nil {
			bad := u.record(p, int64(i), r.PartitionKey, r.Data)
			bad.Input.Broken = fmt.Errorf("record %d of a KPL aggregate: %w", i, err)
			dst = append(dst, bad)
			continue
		}
		if u.Hashes.Contains(hash) {
			dst = append(dst, u.record(p, int64(i), r.PartitionKey, r.Data))
		}
	}
	return dst
}

// lines takes data for one record, or for one a line when each is ended. A JSON text
// over several lines is one.
func (u *Unpacker) lines(dst []Record, p *Packed, data []byte) []Record {
	key := []byte(p.PartitionKey)
	body, ended := bytes.CutSuffix(data, []byte("\n"))
	if !ended || !bytes.ContainsRune(body, '\n') || json.Valid(body) {
		return append(dst, u.record(p, 0, key, bytes.TrimSuffix(body, []byte("\r"))))
	}
	i := int64(0)
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > 0 {
			dst = append(dst, u.record(p, i, key, line))
		}
		i++
	}
	return dst
}

var errTooLarge = fmt.Errorf("more than %d bytes when decompressed", maxUnpacked)

// plain is data without its compression.
func (u *Unpacker) plain(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return u.gunzip(data)
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return u.unzstd(data)
	}
	return data, nil
}

func (u *Unpacker) gunzip(data []byte) ([]byte, error) {
	var err error
	if u.gzip == nil {
		u.gzip, err = gzip.NewReader(bytes.NewReader(data))
	} else {
		err = u.gzip.Reset(bytes.NewReader(data))
	}
	if err != nil {
		u.gzip = nil
		return nil, fmt.Errorf("gzip: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(u.gzip, maxUnpacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gzip: %w", err)
	case len(plain) > maxUnpacked:
		return nil, fmt.Errorf("gzip: %w", errTooLarge)
	}
	return plain, nil
}

func (u *Unpacker) unzstd(data []byte) ([]byte, error) {
	if u.zstd == nil {
		var err error
		u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
	}
	plain, err := u.zstd.DecodeAll(data, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fmt.Errorf("zstd: %w", errTooLarge)
	case err != nil:
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return plain, nil
}

// Close frees what the Unpacker holds.
func (u *Unpacker) Close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// logEvents are the messages of what CloudWatch Logs writes to a stream: an envelope
// of a log group's events. Its control messages, by which it tries whether a stream
// takes records, have none.
func logEvents(data []byte) (messages []string, ok bool, err error) {
	if !bytes.Contains(data[:min(len(data), 4096)], []byte(`"messageType"`)) || !bytes.Contains(data, []byte(`"logEvents"`)) {
		return nil, false, nil
	}
	var envelope struct {
		MessageType string `json:"messageType"`
		LogEvents   []struct {
			Message *string `json:"message"`
		} `json:"logEvents"`
	}
	if json.Unmarshal(data, &envelope) != nil || envelope.LogEvents == nil {
		return nil, false, nil //nolint:nilerr // it is a record of another kind
	}
	switch envelope.MessageType {
	case "CONTROL_MESSAGE":
		return nil, true, nil
	case "DATA_MESSAGE":
	default:
		return nil, false, nil
	}
	for i, e := range envelope.LogEvents {
		if e.Message == nil {
			return nil, true, fmt.Errorf("CloudWatch Logs envelope: event %d has no message", i)
		}
		messages = append(messages, *e.Message)
	}
	return messages, true, nil
}
