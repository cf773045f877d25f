package shipper

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// callName is how `+"`prev`"+` names a call.
func callName(run string, seq uint64) string { return run + "/" + strconv.FormatUint(seq, 10) }

func (s *Source) delivery(f *spool.Frame, row, rows int) *event.Delivery {
	return &event.Delivery{Agent: f.Agent, Run: f.Run, Seq: f.Seq, Row: row, Rows: rows, Spooled: f.Spooled}
}

// headers are what all records of a call share.
func (s *Source) headers(c *call) []sink.Header {
	return nameHeaders(s.delivery(&s.frame, 0, c.rows), c.schema)
}

func nameHeaders(d *event.Delivery, schema string) []sink.Header {
	return []sink.Header{
		{Key: "agent", Value: []byte(d.Agent)},
		{Key: "run", Value: []byte(d.Run)},
		{Key: "seq", Value: strconv.AppendUint(nil, d.Seq, 10)},
		{Key: "rows", Value: strconv.AppendInt(nil, int64(d.Rows), 10)},
		{Key: "schema", Value: []byte(schema)},
	}
}

func rowHeaders(shared []sink.Header, row int, kind, query string) []sink.Header {
	return append(shared[:len(shared):len(shared)],
		sink.Header{Key: "row", Value: strconv.AppendInt(nil, int64(row), 10)},
		sink.Header{Key: "kind", Value: []byte(kind)},
		sink.Header{Key: "query", Value: []byte(query)})
}

// add makes the next record of the call under way. In the place of one that
// cannot be sent stands a marker, and a dead letter says more.
func (s *Source) add(b *builder, topic string, shared []sink.Header) {
	c, start := s.call, len(s.buf)
	d := s.delivery(&s.frame, s.row, c.rows)
	d.Prev, d.RedactedLate = s.prev[topic], s.late
	if c.letter != nil {
		s.addLetter(b, shared, c.letter, s.key(nil))
		s.addMarker(b, topic, &event.Marker{Reason: unreadable, Bytes: int64(len(s.frame.Payload))}, d)
		return
	}
	s.buf = c.appendRow(s.buf, s.row)
	key := s.key(s.buf[start:])
	if size := len(s.buf) - start; size > s.cfg.MaxRecordBytes-recordOverhead {
		letter := s.oversized(s.buf[start:], fmt.Sprintf("the row has %d bytes, max_record_bytes is %d", size, s.cfg.MaxRecordBytes))
		s.buf = s.buf[:start]
		s.addLetter(b, shared, letter, key)
		s.addMarker(b, topic, &event.Marker{Reason: oversized, Bytes: int64(size)}, d)
		return
	}
	if !c.verbatim {
		s.buf = event.AppendDelivery(s.buf, d)
	}
	headers := rowHeaders(shared, s.row, c.kind(s.row), c.query(s.row))
	b.add(sink.Record{Topic: topic, Key: key, Headers: headers, Time: s.frame.Spooled}, start, len(s.buf))
	s.cfg.Counters.Records.Add(1)
}

// recordOverhead is more than name, headers and framing add to a row.
const recordOverhead = 2 << 10

// key is what decides the record's partition: the row's, or where there is no row
// that of the last.
func (s *Source) key(row []byte) []byte {
	if s.cfg.Key == ByHostIdentifier {
		var r event.Row
		if err := r.Parse(row); err == nil && !r.HostIdentifier.Empty() {
			if text := r.HostIdentifier.AppendText(nil); !bytes.Equal(text, s.lastKey) {
				s.lastKey = text
			}
			return s.lastKey
		}
	}
	if s.lastKey == nil {
		s.lastKey = []byte(s.agent)
	}
	return s.lastKey
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
