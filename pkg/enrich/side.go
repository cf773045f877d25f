package enrich

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/members"
)

// Side is a record about a host that did not arrive keyed by it. Between the stages it
// is an envelope in JSON (Output, ReadSide).
type Side struct {
	// Host is whom it is about.
	Host Host
	Kind SideKind
	// Time is when it happened, by the clock of who saw it.
	Time time.Time
	// Value is the record itself, in JSON. It belongs to whoever made the Side.
	Value []byte
	// Source is the record's id under the stream that its stage writes, Position where
	// the record itself was read, and Appended when it became readable there.
	Source   string
	Position Position
	Appended time.Time
	// Responder tells that the host is the end that a sensor's record calls the
	// responder, Shared that other hosts may have been the owner of its address.
	Responder, Shared bool
	// Change is 0 at first and grows when later facts tell of another owner: of two with
	// one Source and Host the higher holds. Withdrawn tells that the record turned out
	// not to be the host's.
	Change    int
	Withdrawn bool
}

// SideKind says what a Side's Value is.
type SideKind string

// The kinds of side records. What has another kind is shown to the operators all the
// same.
const (
	SideRow        SideKind = "row"        // a record of osquery's, not keyed by its host
	SideSensor     SideKind = "sensor"     // one record of a network sensor
	SideCloudTrail SideKind = "cloudtrail" // one record of CloudTrail
	SideCall       SideKind = "call"       // what the join asks of one, to its host
	SideUse        SideKind = "use"        // how an instance's key was used, to whoever owns the instance's id
	SideHost       SideKind = "host"       // what an instance's host says of it, to the same
)

// maxChange bounds Change, so that revisions stay numbers that every reader takes.
const maxChange = 1 << 16

// SchemaSide is the schema of the envelope.
const SchemaSide = "stackjoin.side/1"

// Append appends the envelope, with Value's bytes as they are. The error is for a Value
// that is no JSON.
func (s *Side) Append(dst []byte) ([]byte, error) {
	if !members.Valid(s.Value) {
		return dst, fmt.Errorf("side record of %s: its value is no JSON", s.Position)
	}
	const around = 512 // more than most envelopes have beside their value
	w := members.Writer{B: slices.Grow(dst, around+len(s.Value))}
	w.Open('{')
	w.Text("schema", SchemaSide)
	w.Text("host", string(s.Host))
	w.Text("kind", string(s.Kind))
	w.Moment("time", s.Time)
	w.Text("source", s.Source)
	w.Key("from")
	w.Open('{')
	w.Text("topic", s.Position.Topic)
	w.Count("partition", int64(s.Position.Partition))
	w.Count("offset", s.Position.Offset)
	w.Text("file", s.Position.File)
	w.Count("line", s.Position.Line)
	w.Moment("appended", s.Appended)
	w.Close('}')
	w.Mark("responder", s.Responder)
	w.Mark("shared", s.Shared)
	w.Count("change", int64(s.Change))
	w.Mark("withdrawn", s.Withdrawn)
	w.Raw("value", s.Value)
	w.Close('}')
	return w.B, nil
}

// Output is the record for partition, or ByKey, of the side topic. It has the host as
// its key only where that decides: what the host's own rows are keyed by may be another
// name. The error is for a Value that is no JSON.
func (s *Side) Output(partition int32) (Output, error) {
	value, err := s.Append(nil)
	if err != nil {
		return Output{}, err
	}
	out := Output{Stream: Sides, Value: value, ID: s.Source, Kind: string(s.Kind), Schema: SchemaSide, Partition: partition}
	if partition == ByKey {
		out.Key = []byte(s.Host)
	}
	return out, nil
}

// IsSide tells an envelope from a record of osquery's, where both are in one stream.
func IsSide(value []byte) bool { return bytes.HasPrefix(value, []byte(`{"schema":"`+SchemaSide+`",`)) }

var errSide = errors.New("not a side record: it has no schema, host, kind or value that is known")

// ReadSide reads an envelope. What it returns has bytes of its own.
func ReadSide(value []byte) (*Side, error) {
	s, schema := &Side{}, ""
	err := members.Read(value, func(r *members.Reader, name []byte) error {
		if string(name) == "schema" {
			return r.Text(&schema)
		}
		return s.read(r, name)
	})
	if err != nil {
		return nil, fmt.Errorf("side record: %w", err)
	}
	if schema != SchemaSide || s.Host == "" || s.Kind == "" || len(s.Value) == 0 || s.Change < 0 || s.Change > maxChange {
		return nil, errSide
	}
	return s, nil
}

func (s *Side) read(r *members.Reader, name []byte) (err error) {
	switch string(name) {
	case "host":
		return r.Text((*string)(&s.Host))
	case "kind":
		return r.Text((*string)(&s.Kind))
	case "time":
		return r.Moment(&s.Time)
	case "source":
		return r.Text(&s.Source)
	case "from":
		return r.Object(func(name []byte) error { return s.readFrom(r, name) })
	case "responder":
		return r.Truth(&s.Responder)
	case "shared":
		return r.Truth(&s.Shared)
	case "change":
		n := int64(s.Change)
		err = r.Number(&n)
		s.Change = int(n)
		return err
	case "withdrawn":
		return r.Truth(&s.Withdrawn)
	case "value":
		value, err := r.Raw()
		s.Value = bytes.Clone(value)
		return err
	}
	return r.Skip()
}

// readFrom reads where the record itself was read.
func (s *Side) readFrom(r *members.Reader, name []byte) error {
	switch string(name) {
	case "topic":
		return r.Text(&s.Position.Topic)
	case "partition":
		return r.Small(&s.Position.Partition)
	case "offset":
		return r.Number(&s.Position.Offset)
	case "file":
		return r.Text(&s.Position.File)
	case "line":
		return r.Number(&s.Position.Line)
	case "appended":
		return r.Moment(&s.Appended)
	}
	return r.Skip()
}
