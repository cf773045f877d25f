package shipper

import (
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// TypeOwn is the type of calls that logger-ext makes itself, beside those of
// package extension: the payload is a record, complete but for its delivery.
const TypeOwn byte = 'O'

// Heartbeat is the call of a heartbeat, spooled in line with osqueryd's.
func Heartbeat(b *event.Beat) spool.Call {
	return spool.Call{Stream: extension.StreamResults, Type: TypeOwn, Payload: b.Append(nil)}
}

// Absence is the call of a marker for a time in which osqueryd had no way to us;
// what it logged then is lost.
func Absence(since, until time.Time) spool.Call {
	m := event.Marker{Reason: unregistered, Since: since, Until: until}
	return spool.Call{Stream: extension.StreamResults, Type: TypeOwn, Payload: m.Append(nil)}
}

// own takes a call of our own: one record.
func own(f *spool.Frame) (*call, error) {
	var row event.Row
	if err := row.Parse(f.Payload); err != nil {
		return nil, err
	}
	kind, schema := row.Kind.Text(), event.SchemaHeartbeat
	if kind == string(event.Gap) {
		schema = event.SchemaGap
	}
	return &call{
		stream: f.Stream, schema: schema, records: 1, rows: 1,
		appendRow: func(dst []byte, _ int) []byte { return append(dst, f.Payload...) },
		query:     func(int) string { return "" },
		kind:      func(int) string { return kind },
	}, nil
}
