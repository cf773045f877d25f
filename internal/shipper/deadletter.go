package shipper

import (
	"bytes"
	"fmt"
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
// first 64 KiB, and where it is kept whole.
func (s *Source) oversized(row []byte, why string) *event.DeadLetter {
	d := &event.DeadLetter{
		Reason: "oversized", Message: why, Source: event.AppendName(nil, s.delivery(&s.frame, s.row, 0)),
		Time: time.Now(), Original: bytes.Clone(row), Part: s.cfg.MaxRecordBytes / 2,
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

func (s *Source) letterHeaders(shared []sink.Header) []sink.Header {
	headers := s.rowHeaders(shared)
	for i := range headers {
		switch headers[i].Key {
		case "schema":
			headers[i].Value = []byte(event.SchemaDeadLetter)
		case "kind":
			headers[i].Value = []byte(deadLetters)
		}
	}
	return headers
}

// Refused makes the dead letter of a record that the destination said it will
// never take. It is sink.RetryConfig's DeadLetter.
func (s *Source) Refused(r sink.Record, why error) sink.Record {
	d := event.DeadLetter{
		Reason: "refused", Message: fmt.Sprintf("topic %s: %v", r.Topic, why), Source: named(r.Headers),
		Time: time.Now(), Original: r.Value, Part: s.cfg.MaxRecordBytes / 2,
	}
	if path, err := s.cfg.Attic.Keep(fileName(r.Headers), r.Value); err != nil {
		s.cfg.Log.Error("a refused record is not kept whole", "bytes", len(r.Value), "error", err)
	} else {
		d.File = path
	}
	headers := make([]sink.Header, 0, len(r.Headers))
	for _, h := range r.Headers {
		switch h.Key {
		case "schema":
			h.Value = []byte(event.SchemaDeadLetter)
		case "kind":
			h.Value = []byte(deadLetters)
		}
		headers = append(headers, h)
	}
	return sink.Record{Topic: s.cfg.DeadLetter, Key: r.Key, Value: d.Append(nil), Headers: headers, Time: r.Time}
}

// named is a record's name from its headers, as members of a JSON object.
func named(headers []sink.Header) []byte {
	var d event.Delivery
	d.Row = -1
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
		}
	}
	return event.AppendName(nil, &d)
}

func fileName(headers []sink.Header) string {
	parts := map[string]string{}
	for _, h := range headers {
		parts[h.Key] = string(h.Value)
	}
	return parts["run"] + "-" + parts["seq"] + "-" + parts["row"]
}
