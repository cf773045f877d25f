package shipper

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// wholeLetter is the size up to which a dead letter carries a call complete: base64
// and its own words must fit a record.
func (s *Source) wholeLetter() int { return s.cfg.MaxRecordBytes / 2 }

// oversized is the dead letter of a row that is too large: its size, digest and
// first 64 KiB, and where it is kept whole. The letter has the row, not a copy.
func (s *Source) oversized(row []byte, why string) *event.DeadLetter {
	d := &event.DeadLetter{
		Reason: oversized, Message: why, Source: event.AppendName(nil, s.delivery(&s.frame, s.row, 0)),
		Time: time.Now(), Original: row, Part: s.cfg.MaxRecordBytes / 2,
	}
	s.keepWhole(d, &s.frame, s.row)
	return d
}

// keepWhole puts what the letter cannot carry into the attic.
func (s *Source) keepWhole(d *event.DeadLetter, f *spool.Frame, row int) {
	if len(d.Original) <= d.Whole {
		return
	}
	name := f.Run + "-" + strconv.FormatUint(f.Seq, 10)
	if row >= 0 {
		name += "-" + strconv.Itoa(row)
	}
	path, err := s.cfg.Attic.Keep(name, d.Original)
	if err != nil {
		s.cfg.Log.Error("a record too large to ship is not kept whole", "name", name, "bytes", len(d.Original), "error", err)
		return
	}
	d.File = path
}

// addLetter adds a dead letter of the row under way.
func (s *Source) addLetter(b *builder, shared []sink.Header, letter *event.DeadLetter, key []byte) {
	start := len(s.buf)
	s.buf = letter.Append(s.buf)
	headers := b.rowHeaders(letterHeaders(shared), s.row, deadLetter, "")
	b.add(sink.Record{Topic: s.cfg.DeadLetter, Key: key, Headers: headers, Time: s.frame.Spooled}, start, len(s.buf))
	s.cfg.Counters.letter(letter.Reason)
}

// deadLetter is the kind of dead letters.
const deadLetter = "deadletter"

// letterHeaders are a record's headers with the schema and kind of a dead letter.
func letterHeaders(of []sink.Header) []sink.Header {
	headers := slices.Clone(of)
	for i := range headers {
		switch headers[i].Key {
		case "schema":
			headers[i].Value = []byte(event.SchemaDeadLetter)
		case "kind":
			headers[i].Value = []byte(deadLetter)
		}
	}
	return headers
}

// Refused makes the dead letter of a record that the destination said it will
// never take, and the marker in its place. It is sink.RetryConfig's DeadLetter.
func (s *Source) Refused(r sink.Record, why error) (letter sink.Record, inPlace []sink.Record) {
	name := named(r.Headers)
	d := event.DeadLetter{
		Reason: refused, Message: fmt.Sprintf("topic %s: %v", r.Topic, why), Source: event.AppendName(nil, &name),
		Time: time.Now(), Original: r.Value, Part: s.cfg.MaxRecordBytes / 2,
	}
	if path, err := s.cfg.Attic.Keep(fileName(&name), r.Value); err != nil {
		s.cfg.Log.Error("a refused record is not kept whole", "bytes", len(r.Value), "error", err)
	} else {
		d.File = path
	}
	s.cfg.Counters.letter(d.Reason)
	letter = sink.Record{Topic: s.cfg.DeadLetter, Key: r.Key, Value: d.Append(nil), Headers: letterHeaders(r.Headers), Time: r.Time}
	return letter, []sink.Record{s.refusedMarker(r, &name)}
}

// refusedMarker takes the name of a refused record, and its prev, which only its
// value says.
func (s *Source) refusedMarker(r sink.Record, name *event.Delivery) sink.Record {
	m := event.Marker{Reason: refused, Bytes: int64(len(r.Value))}
	name.Spooled = r.Time
	var row event.Row
	if err := row.Parse(r.Value); err == nil && row.Delivered {
		name.Prev = row.Delivery.Prev
	}
	s.cfg.Counters.Markers.Add(1)
	return sink.Record{
		Topic: r.Topic, Key: r.Key, Time: r.Time, Value: event.AppendDelivery(m.Append(nil), name),
		Headers: new(builder).rowHeaders(nameHeaders(name, event.SchemaGap), name.Row, string(event.Gap), ""),
	}
}

// named is a record's name from its headers.
func named(headers []sink.Header) (d event.Delivery) {
	for _, h := range headers {
		switch h.Key {
		case "agent":
			d.Agent = string(h.Value)
		case "run":
			d.Run = string(h.Value)
		case "seq":
			d.Seq, _ = strconv.ParseUint(string(h.Value), 10, 64) // our own header
		case "row":
			d.Row, _ = strconv.Atoi(string(h.Value))
		case "rows":
			d.Rows, _ = strconv.Atoi(string(h.Value))
		}
	}
	return d
}

func fileName(d *event.Delivery) string {
	return d.Run + "-" + strconv.FormatUint(d.Seq, 10) + "-" + strconv.Itoa(d.Row)
}
