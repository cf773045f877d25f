package event

import (
	"strconv"
	"time"
)

// Value is one JSON value of a row, as bytes of the row itself.
type Value struct {
	// Raw is the inside of a string, escapes and all, or the literal.
	Raw []byte
	// String tells a string from a number, a boolean or null.
	String bool
	// Escaped tells that Raw is a string with a backslash in it.
	Escaped bool
}

// AppendText appends the text the value stands for: a string's own, a number's
// digits, and nothing for null.
func (v Value) AppendText(dst []byte) []byte {
	switch {
	case v.Escaped:
		return appendUnescaped(dst, v.Raw)
	case !v.String && string(v.Raw) == "null":
		return dst
	}
	return append(dst, v.Raw...)
}

// Text returns the text the value stands for in memory of its own.
func (v Value) Text() string {
	if v.Escaped {
		return string(appendUnescaped(nil, v.Raw))
	}
	if !v.String && string(v.Raw) == "null" {
		return ""
	}
	return string(v.Raw)
}

// Int reads a decimal number, written as one or as a string: osquery writes
// column values as strings unless told otherwise, and the AWS loggers turn
// every number into one.
func (v Value) Int() (int64, bool) {
	n, err := strconv.ParseInt(string(v.Raw), 10, 64)
	return n, err == nil
}

// Empty tells whether the value says nothing: "", null or absent.
func (v Value) Empty() bool {
	return len(v.Raw) == 0 || !v.String && string(v.Raw) == "null"
}

// Column is one named value of a row's columns or decorations.
type Column struct {
	Name []byte
	Value
}

// Delivery is what logger-ext says of a row: its name, how many rows its call
// had, the call before it on the same topic, and when it was made durable.
type Delivery struct {
	Agent string
	Run   string
	Seq   uint64
	// Row counts from 0 to Rows-1. Rows is 0 for an empty result, which
	// travels as one record without columns.
	Row, Rows int
	// Prev is "run/seq" of the call sent before to the same topic, or empty.
	Prev    string
	Spooled time.Time
}

// Name returns the row's one name, agent/run/seq/row.
func (d *Delivery) Name() string {
	b := make([]byte, 0, 96)
	b = append(append(b, d.Agent...), '/')
	b = append(append(b, d.Run...), '/')
	b = append(strconv.AppendUint(b, d.Seq, 10), '/')
	return string(strconv.AppendInt(b, int64(d.Row), 10))
}

// Row is one osquery result row in event form, looked at in place. Everything
// in it points into Raw, which the caller owns and must leave alone while the
// Row is in use. A Row is reused: Parse forgets what was there before.
type Row struct {
	// Raw is the row's JSON object without white space around it.
	Raw []byte

	Query          Value
	HostIdentifier Value
	Action         Value
	UnixTime       Value
	Kind           Value // set on our own records that are not osquery rows: gap, heartbeat
	Numerics       Value
	Severity       Value // set on status rows
	Columns        []Column
	Decorations    []Column

	// HasColumns tells an empty columns object from none.
	HasColumns bool
	// Delivered tells whether Delivery was there; rows shipped by others have
	// none.
	Delivered bool
	Delivery  Delivery
}

// Column returns the value of the column called name. Of two with one name the
// last counts, as in most JSON readers.
func (r *Row) Column(name string) (Value, bool) { return find(r.Columns, name) }

// Decoration returns the value of the decoration called name.
func (r *Row) Decoration(name string) (Value, bool) { return find(r.Decorations, name) }

func find(columns []Column, name string) (Value, bool) {
	for i := len(columns) - 1; i >= 0; i-- {
		if string(columns[i].Name) == name {
			return columns[i].Value, true
		}
	}
	return Value{}, false
}

// Parse looks at one row. The error is a *SyntaxError where the bytes are no
// JSON object. Members that are missing or of an odd type are not an error:
// they stay empty, since a row that says little is still evidence.
func (r *Row) Parse(raw []byte) error {
	*r = Row{Columns: r.Columns[:0], Decorations: r.Decorations[:0], Delivery: r.Delivery}
	s := scanner{b: raw}
	s.space()
	start := s.i
	if err := s.expect('{', "an object"); err != nil {
		return err
	}
	for more := s.peek() != '}'; more; {
		key, err := s.key()
		if err == nil {
			err = r.member(&s, key)
		}
		if err != nil {
			return err
		}
		if more = s.peek() == ','; more {
			s.i++
		}
	}
	if err := s.expect('}', "a comma or a closing brace"); err != nil {
		return err
	}
	r.Raw = raw[start:s.i]
	return s.end()
}

func (r *Row) member(s *scanner, key []byte) (err error) {
	switch string(key) {
	case "columns":
		r.HasColumns = s.peek() == '{'
		r.Columns, err = columns(s, r.Columns[:0])
		return err
	case "decorations":
		r.Decorations, err = columns(s, r.Decorations[:0])
		return err
	case "delivery":
		return r.delivery(s)
	}
	value, err := s.any()
	if err != nil {
		return err
	}
	switch string(key) {
	case "name":
		r.Query = value
	case "hostIdentifier":
		r.HostIdentifier = value
	case "action":
		r.Action = value
	case "unixTime":
		r.UnixTime = value
	case "kind":
		r.Kind = value
	case "numerics":
		r.Numerics = value
	case "severity":
		r.Severity = value
	}
	return nil
}

// any steps over a value and keeps what a Value needs to know of it.
func (s *scanner) any() (Value, error) {
	if s.peek() == '"' {
		raw, err := s.str()
		return Value{Raw: raw, String: true, Escaped: s.escaped}, err
	}
	raw, err := s.value()
	return Value{Raw: raw}, err
}

// columns reads a flat object; anything else in its place is stepped over.
func columns(s *scanner, dst []Column) ([]Column, error) {
	if s.peek() != '{' {
		_, err := s.value()
		return dst, err
	}
	s.i++
	if s.peek() == '}' {
		s.i++
		return dst, nil
	}
	for {
		name, err := s.key()
		if err != nil {
			return dst, err
		}
		value, err := s.any()
		if err != nil {
			return dst, err
		}
		dst = append(dst, Column{name, value})
		if s.peek() == '}' {
			s.i++
			return dst, nil
		}
		if err := s.expect(',', "a comma or a closing brace"); err != nil {
			return dst, err
		}
	}
}

// delivery reads the member that logger-ext adds. Agent and run repeat from row
// to row, so their strings are kept as long as they stay the same.
func (r *Row) delivery(s *scanner) error {
	if s.peek() != '{' {
		_, err := s.value()
		return err
	}
	kept := Delivery{Agent: r.Delivery.Agent, Run: r.Delivery.Run}
	d := &r.Delivery
	*d = Delivery{}
	r.Delivered = true
	return s.object(func(key []byte) error {
		v, err := s.any()
		if err != nil {
			return err
		}
		d.set(key, v, kept)
		return nil
	})
}

func (d *Delivery) set(key []byte, v Value, kept Delivery) {
	switch string(key) {
	case "agent":
		d.Agent = same(v, kept.Agent)
	case "run":
		d.Run = same(v, kept.Run)
	case "seq":
		d.Seq, _ = strconv.ParseUint(string(v.Raw), 10, 64)
	case "row":
		n, _ := v.Int()
		d.Row = int(n)
	case "rows":
		n, _ := v.Int()
		d.Rows = int(n)
	case "prev":
		d.Prev = v.Text()
	case "spooled":
		d.Spooled, _ = time.Parse(time.RFC3339, string(v.Raw))
	}
}

func same(v Value, old string) string {
	if !v.Escaped && string(v.Raw) == old {
		return old
	}
	return v.Text()
}
