package enrich

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
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

// envelope is a Side on the wire.
type envelope struct {
	Schema    string          `json:"schema"`
	Host      Host            `json:"host"`
	Kind      SideKind        `json:"kind"`
	Time      time.Time       `json:"time,omitzero"`
	Source    string          `json:"source,omitempty"`
	From      from            `json:"from"`
	Responder bool            `json:"responder,omitempty"`
	Shared    bool            `json:"shared,omitempty"`
	Change    int             `json:"change,omitempty"`
	Withdrawn bool            `json:"withdrawn,omitempty"`
	Value     json.RawMessage `json:"value,omitempty"`
}

// from is where the record itself was read.
type from struct {
	Topic     string    `json:"topic,omitempty"`
	Partition int32     `json:"partition,omitempty"`
	Offset    int64     `json:"offset,omitempty"`
	File      string    `json:"file,omitempty"`
	Line      int64     `json:"line,omitempty"`
	Appended  time.Time `json:"appended,omitzero"`
}

// Append appends the envelope, with Value's bytes as they are. The error is for a Value
// that is no JSON.
func (s *Side) Append(dst []byte) ([]byte, error) {
	if !json.Valid(s.Value) {
		return dst, fmt.Errorf("side record of %s: its value is no JSON", s.Position)
	}
	p := s.Position
	head, err := json.Marshal(&envelope{
		Schema: SchemaSide, Host: s.Host, Kind: s.Kind, Time: s.Time, Source: s.Source, Responder: s.Responder, Shared: s.Shared,
		Change: s.Change, Withdrawn: s.Withdrawn,
		From: from{p.Topic, p.Partition, p.Offset, p.File, p.Line, s.Appended},
	})
	if err != nil {
		return dst, fmt.Errorf("side record of %s: %w", s.Position, err)
	}
	dst = append(append(dst, head[:len(head)-1]...), `,"value":`...)
	return append(append(dst, s.Value...), '}'), nil
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
	var e envelope
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, fmt.Errorf("side record: %w", err)
	}
	if e.Schema != SchemaSide || e.Host == "" || e.Kind == "" || len(e.Value) == 0 || e.Change < 0 || e.Change > maxChange {
		return nil, errSide
	}
	return &Side{
		Host: e.Host, Kind: e.Kind, Time: e.Time, Value: e.Value, Source: e.Source,
		Position: Position{e.From.Topic, e.From.Partition, e.From.Offset, e.From.File, e.From.Line}, Appended: e.From.Appended,
		Responder: e.Responder, Shared: e.Shared, Change: e.Change, Withdrawn: e.Withdrawn,
	}, nil
}
