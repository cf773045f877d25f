package event

import "unicode/utf8"

// Column is one named value of a row's columns or decorations.
type Column struct {
	// Name is the text of the member's name.
	Name []byte
	Value
}

// Row is one osquery result row in event form, looked at in place. What it
// holds points into Raw, which the caller owns and must leave alone while the
// Row is in use. A Row is reused: Parse forgets what was there before. It is for
// one goroutine.
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
	// Dirty tells that Raw holds bytes that JSON does not allow: AppendMended
	// makes a record of it that can be passed on.
	Dirty bool
	// Delivered tells whether Delivery was there; rows shipped by others have
	// none.
	Delivered bool
	Delivery  Delivery
	// Sensor tells that the row is a network sensor's record, read by
	// ParseSensor: Query then names the record, and Columns are its members.
	Sensor bool

	// top holds the members that have no field here.
	top []Column
	// last is the delivery read last, whose strings the next is likely to have.
	last Delivery
	// names holds the dotted names of a sensor's nested members.
	names []byte
}

// Column returns the value of the column called name. Of two with one name the
// last counts, as in most JSON readers.
func (r *Row) Column(name string) (Value, bool) { return find(r.Columns, name) }

// Decoration returns the value of the decoration called name, nested or merged
// into the top level (osquery's --decorations_top_level): there it is a member
// that has no field in Row.
func (r *Row) Decoration(name string) (Value, bool) {
	if v, ok := find(r.Decorations, name); ok {
		return v, true
	}
	return find(r.top, name)
}

func find(columns []Column, name string) (Value, bool) {
	for i := len(columns) - 1; i >= 0; i-- {
		if string(columns[i].Name) == name {
			return columns[i].Value, true
		}
	}
	return Value{}, false
}

// Parse looks at one row. The error is a *SyntaxError where the bytes are no
// JSON object; the Row then says nothing. Members that are missing or of an odd
// type are not an error: they stay empty, since a row that says little is still
// evidence. Bytes that JSON does not allow inside strings set Dirty.
//
// It allocates nothing once the Row has held as many columns, but for escaped
// names and for the strings of a Delivery that differ from the one before.
func (r *Row) Parse(raw []byte) error {
	s := scanner{b: raw}
	if err := r.parse(&s); err != nil {
		r.reset()
		return err
	}
	r.Dirty = s.control || !utf8.Valid(r.Raw)
	return nil
}

func (r *Row) reset() {
	*r = Row{Columns: r.Columns[:0], Decorations: r.Decorations[:0], top: r.top[:0], last: r.last, names: r.names[:0]}
}

func (r *Row) parse(s *scanner) error {
	r.reset()
	s.space()
	start := s.i
	err := s.object(func(key []byte) error { return r.member(s, key) })
	if err != nil {
		return err
	}
	r.Raw = s.b[start:s.i]
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
	if field := r.field(key); field != nil {
		*field = value
	} else {
		r.top = append(r.top, Column{key, value})
	}
	return err
}

// field is where the value of a top-level member is kept, nil for most.
func (r *Row) field(key []byte) *Value {
	switch string(key) {
	case "name":
		return &r.Query
	case "hostIdentifier":
		return &r.HostIdentifier
	case "action":
		return &r.Action
	case "unixTime":
		return &r.UnixTime
	case "kind":
		return &r.Kind
	case "numerics":
		return &r.Numerics
	case "severity":
		return &r.Severity
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
	err := s.object(func(key []byte) error {
		value, err := s.any()
		dst = append(dst, Column{key, value})
		return err
	})
	return dst, err
}
