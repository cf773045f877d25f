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
		row := s.buf[start:]
		s.buf = bytes.Clone(s.buf[:start]) // the letter takes the large one, and lets it go
		letter := s.oversized(row, fmt.Sprintf("the row has %d bytes, max_record_bytes is %d", size, s.cfg.MaxRecordBytes))
		s.addLetter(b, shared, letter, key)
		s.addMarker(b, topic, &event.Marker{Reason: oversized, Bytes: int64(size)}, d)
		return
	}
	if !c.verbatim {
		s.buf = event.AppendDelivery(s.buf, d)
	}
	headers := b.rowHeaders(shared, s.row, c.kind(s.row), c.query(s.row))
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

// builder gathers records whose values lie in one buffer that still grows. It is
// used again for the next batch, with what it has grown to.
type builder struct {
	all    []sink.Record
	starts []int
	ends   []int
	// headers and text hold what records' headers refer to.
	headers []sink.Header
	text    []byte
}

func (b *builder) reset() {
	clear(b.all) // what the last batch held may be large
	b.all, b.starts, b.ends, b.headers, b.text = b.all[:0], b.starts[:0], b.ends[:0], b.headers[:0], b.text[:0]
}

func (b *builder) records() int { return len(b.all) }

func (b *builder) add(r sink.Record, start, end int) {
	b.all = append(b.all, r)
	b.starts, b.ends = append(b.starts, start), append(b.ends, end)
}

// rowHeaders are a call's headers and those of one row of it.
func (b *builder) rowHeaders(shared []sink.Header, row int, kind, query string) []sink.Header {
	start := len(b.headers)
	b.headers = append(append(b.headers, shared...),
		sink.Header{Key: "row", Value: b.number(row)},
		sink.Header{Key: "kind", Value: b.word(kind)},
		sink.Header{Key: "query", Value: b.word(query)})
	return b.headers[start:len(b.headers):len(b.headers)]
}

func (b *builder) number(n int) []byte {
	start := len(b.text)
	b.text = strconv.AppendInt(b.text, int64(n), 10)
	return b.text[start:len(b.text):len(b.text)]
}

func (b *builder) word(w string) []byte {
	start := len(b.text)
	b.text = append(b.text, w...)
	return b.text[start:len(b.text):len(b.text)]
}

func (b *builder) finish(buf []byte) []sink.Record {
	for i := range b.all {
		b.all[i].Value = buf[b.starts[i]:b.ends[i]:b.ends[i]]
	}
	return b.all
}
