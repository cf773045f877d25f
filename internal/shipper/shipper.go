// Package shipper turns spooled calls into records for a sink: it is the
// sink.Source over a spool. One record holds one row, named by its agent, run,
// seq and row, whatever form osqueryd sent it in.
//
// It must never pass over a call: what cannot be taken apart or delivered
// becomes a dead letter. It is strictly first in, first out.
package shipper

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// Key chooses what records are keyed by.
type Key string

// The keys there are.
const (
	ByAgent          Key = "agent"
	ByHostIdentifier Key = "host_identifier"
)

// Config says how records are made.
type Config struct {
	// Topics names the topic of each stream; a stream without one goes to that
	// of "results". DeadLetter is where what cannot be shipped goes.
	Topics     map[string]string
	DeadLetter string
	Key        Key
	// MaxRecordBytes is the largest record that is sent; larger rows become
	// dead letters.
	MaxRecordBytes int
	// OsqueryVersion is asked for the version that status rows carry.
	OsqueryVersion func() string
	// Attic keeps rows whole that are too large to ship.
	Attic *Attic
	Log   *slog.Logger
}

// Limits of one batch, which bound memory and what is sent twice after a crash.
const (
	maxBatchRecords = 2_000
	maxBatchBytes   = 1 << 20
)

// Source hands out batches of records from a spool. It implements sink.Source.
type Source struct {
	cfg   Config
	spool *spool.Spool
	agent string

	start spool.Position // where reading began; its Row is for one frame only
	frame spool.Frame
	call  *call // of frame; nil between calls
	row   int   // the next of call
	prev  map[string]string
	buf   []byte
}

// New returns a Source that begins where the spool was last acknowledged: call
// the spool's Rewind before a second one.
func New(s *spool.Spool, cfg Config) *Source {
	start := s.Committed()
	prev := maps.Clone(start.Prev)
	if prev == nil {
		prev = map[string]string{}
	}
	return &Source{cfg: cfg, spool: s, agent: start.Agent, start: start, prev: prev}
}

// Next waits for a call and returns records of it, and of the calls after it
// that are there already, up to the limits of a batch. Its records are valid
// until it is called again.
func (s *Source) Next(ctx context.Context) (sink.Batch, error) {
	if cap(s.buf) > 4*maxBatchBytes {
		s.buf = nil // a giant row went by
	}
	s.buf = s.buf[:0]
	var b builder
	for b.records() < maxBatchRecords && len(s.buf) < maxBatchBytes {
		if s.call == nil {
			took, err := s.take(ctx, b.records() == 0)
			if err != nil {
				return sink.Batch{}, err
			}
			if !took {
				break
			}
		}
		s.fill(&b)
	}
	position := s.position()
	return sink.Batch{Records: b.finish(s.buf), Ack: func(err error) error {
		if err != nil {
			return nil //nolint:nilerr // what was not delivered stays in the spool
		}
		if err := s.spool.Commit(position); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		return nil
	}}, nil
}

// take begins the next call, waiting for one only when nothing is in hand.
func (s *Source) take(ctx context.Context, wait bool) (bool, error) {
	if !wait && !s.spool.Ready() {
		return false, nil
	}
	frame, err := s.spool.Next(ctx)
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	if frame.Agent != s.agent { // the spool was copied to another host
		s.agent, s.prev = frame.Agent, map[string]string{}
	}
	s.frame = frame
	s.call, s.row = s.open(&s.frame), 0
	if frame.Agent == s.start.Agent && frame.Seq == s.start.Seq+1 {
		s.row = s.start.Row
	}
	return true, nil
}

// fill adds records of the call under way until it ends or the batch is full.
func (s *Source) fill(b *builder) {
	c := s.call
	topic := s.topic(c.stream)
	shared := s.headers(c)
	for s.row < c.records && b.records() < maxBatchRecords && len(s.buf) < maxBatchBytes {
		s.add(b, topic, shared)
		s.row++
	}
	if s.row < c.records {
		return
	}
	if c.records > 0 && c.stream != deadLetters {
		s.prev[topic] = s.name()
	}
	s.call, s.row = nil, 0
}

func (s *Source) name() string {
	return s.frame.Run + "/" + strconv.FormatUint(s.frame.Seq, 10)
}

func (s *Source) topic(stream string) string {
	if stream == deadLetters {
		return s.cfg.DeadLetter
	}
	if topic, ok := s.cfg.Topics[stream]; ok {
		return topic
	}
	return s.cfg.Topics["results"]
}

// position is where the next batch begins.
func (s *Source) position() spool.Position {
	if s.call == nil {
		return s.frame.After(maps.Clone(s.prev))
	}
	return s.frame.Before(s.row, maps.Clone(s.prev))
}

func (s *Source) delivery(f *spool.Frame, row, rows int) *event.Delivery {
	return &event.Delivery{Agent: f.Agent, Run: f.Run, Seq: f.Seq, Row: row, Rows: rows, Spooled: f.Spooled}
}

// headers are what all records of a call share.
func (s *Source) headers(c *call) []sink.Header {
	return []sink.Header{
		{Key: "agent", Value: []byte(s.agent)},
		{Key: "run", Value: []byte(s.frame.Run)},
		{Key: "seq", Value: strconv.AppendUint(nil, s.frame.Seq, 10)},
		{Key: "rows", Value: strconv.AppendInt(nil, int64(c.rows), 10)},
		{Key: "schema", Value: []byte(c.schema)},
	}
}

// add makes the next record of the call under way.
func (s *Source) add(b *builder, topic string, shared []sink.Header) {
	c, start := s.call, len(s.buf)
	s.buf = c.appendRow(s.buf, s.row)
	if c.stream == deadLetters {
		b.add(sink.Record{Topic: topic, Key: []byte(s.agent), Headers: s.rowHeaders(shared), Time: time.Now()}, start, len(s.buf))
		return
	}
	key := s.key(s.buf[start:])
	d := s.delivery(&s.frame, s.row, c.rows)
	d.Prev = s.prev[topic]
	if size := len(s.buf) - start; size > s.cfg.MaxRecordBytes-recordOverhead {
		letter := s.oversized(s.buf[start:], fmt.Sprintf("the row has %d bytes, max_record_bytes is %d", size, s.cfg.MaxRecordBytes))
		s.buf = letter.Append(s.buf[:start])
		b.add(sink.Record{Topic: s.cfg.DeadLetter, Key: key, Headers: s.letterHeaders(shared), Time: s.frame.Spooled}, start, len(s.buf))
		return
	}
	s.buf = event.AppendDelivery(s.buf, d)
	b.add(sink.Record{Topic: topic, Key: key, Headers: s.rowHeaders(shared), Time: s.frame.Spooled}, start, len(s.buf))
}

// recordOverhead is more than name, headers and framing add to a row.
const recordOverhead = 2 << 10

func (s *Source) rowHeaders(shared []sink.Header) []sink.Header {
	return append(shared[:len(shared):len(shared)],
		sink.Header{Key: "row", Value: strconv.AppendInt(nil, int64(s.row), 10)},
		sink.Header{Key: "kind", Value: []byte(s.call.kind(s.row))},
		sink.Header{Key: "query", Value: []byte(s.call.query(s.row))})
}

// key is what decides the record's partition.
func (s *Source) key(row []byte) []byte {
	if s.cfg.Key == ByHostIdentifier {
		var r event.Row
		if err := r.Parse(row); err == nil && !r.HostIdentifier.Empty() {
			return r.HostIdentifier.AppendText(nil)
		}
	}
	return []byte(s.agent)
}

// builder gathers records whose values lie in one buffer that still grows.
type builder struct {
	all    []sink.Record
	starts []int
	ends   []int
}

func (b *builder) records() int { return len(b.all) }

func (b *builder) add(r sink.Record, start, end int) {
	b.all = append(b.all, r)
	b.starts, b.ends = append(b.starts, start), append(b.ends, end)
}

func (b *builder) finish(buf []byte) []sink.Record {
	for i := range b.all {
		b.all[i].Value = buf[b.starts[i]:b.ends[i]:b.ends[i]]
	}
	return b.all
}
