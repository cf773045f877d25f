package event

import (
	"bytes"
	"unicode/utf8"
)

// Bounds of what ParseSensor looks into; what lies beyond is checked and kept in
// Raw, but is no column.
const (
	maxSensorDepth   = 4
	maxSensorColumns = 2048
)

// ParseSensor looks at one record of a network sensor: a JSON object as Zeek's
// JSON writer, Suricata's eve log or Route 53 Resolver's query log has them. Its
// members become Columns; those of nested objects too, under dotted names
// ("tls.ja3.hash"), and those of an array's first object ("dns.queries[0].rrname").
//
// Query is set to what record it is: "zeek.conn", "suricata.tls",
// "route53.resolver"; empty where nothing tells.
//
// Errors, Dirty and allocations are as with Parse.
func (r *Row) ParseSensor(raw []byte) error {
	s := scanner{b: raw}
	if err := r.parseSensor(&s); err != nil {
		r.reset()
		return err
	}
	r.Dirty = s.control || !utf8.Valid(r.Raw)
	r.Query = r.recordName()
	return nil
}

func (r *Row) parseSensor(s *scanner) error {
	r.reset()
	r.Sensor, r.HasColumns = true, true
	s.space()
	start := s.i
	if err := r.flatten(s, nil, 0); err != nil {
		return err
	}
	r.Raw = s.b[start:s.i]
	return s.end()
}

// flatten makes columns of an object's members.
func (r *Row) flatten(s *scanner, prefix []byte, depth int) error {
	return s.object(func(key []byte) error { return r.sensorMember(s, r.dotted(prefix, key), depth+1) })
}

func (r *Row) sensorMember(s *scanner, name []byte, depth int) error {
	c := s.peek()
	if c == '{' && depth < maxSensorDepth {
		return r.flatten(s, name, depth)
	}
	value, err := s.any()
	if err != nil || len(r.Columns) >= maxSensorColumns {
		return err
	}
	r.Columns = append(r.Columns, Column{name, value})
	if c == '[' && depth < maxSensorDepth {
		return r.firstOf(value.Raw, name, depth)
	}
	return nil
}

// firstOf makes columns of an array's first element where that is an object.
func (r *Row) firstOf(array, name []byte, depth int) error {
	s := scanner{b: array, i: 1}
	if s.peek() != '{' {
		return nil
	}
	return r.flatten(&s, r.keep(name, "[0]"), depth)
}

// dotted is key where there is no prefix, else both with a dot between.
func (r *Row) dotted(prefix, key []byte) []byte {
	if prefix == nil {
		return key
	}
	start := len(r.names)
	r.names = append(append(append(r.names, prefix...), '.'), key...)
	return r.kept(start)
}

func (r *Row) keep(name []byte, suffix string) []byte {
	start := len(r.names)
	r.names = append(append(r.names, name...), suffix...)
	return r.kept(start)
}

// kept is what was put into the names since start, which later names must not
// grow over.
func (r *Row) kept(start int) []byte { return r.names[start:len(r.names):len(r.names)] }

// recordName says what record the columns are. What the record says of itself
// counts; Zeek's own JSON writer says nothing, so there the columns tell.
func (r *Row) recordName() Value {
	for _, own := range [...]string{"_path", "@stream"} { // Corelight, OTRF and our own reading of TSV
		if v, ok := r.Column(own); ok && v.String && !v.Empty() {
			return r.named("zeek.", v)
		}
	}
	if v, ok := r.Column("event_type"); ok && v.String && r.hasAll("timestamp") {
		if string(v.Raw) == "dns" && r.toClient() {
			return r.record("suricata.dns.reply")
		}
		return r.named("suricata.", v)
	}
	if r.hasAll("query_name", "query_timestamp", "srcaddr") {
		return r.record("route53.resolver")
	}
	if r.hasAll("ts") {
		return r.zeekByColumns()
	}
	return Value{}
}

func (r *Row) named(sensor string, record Value) Value {
	start := len(r.names)
	r.names = append(append(r.names, sensor...), record.Raw...)
	return Value{Raw: r.kept(start), String: true, Escaped: record.Escaped}
}

func (r *Row) record(name string) Value { return Value{Raw: r.keep(nil, name), String: true} }

// zeekByColumns tells Zeek's logs apart by a column that each always has and no
// other does.
func (r *Row) zeekByColumns() Value {
	for _, log := range [...]struct{ column, name string }{
		{"conn_state", "zeek.conn"}, {"trans_depth", "zeek.http"}, {"rejected", "zeek.dns"}, {"established", "zeek.ssl"},
		{"note", "zeek.notice"}, {"seen_bytes", "zeek.files"}, {"certificate.serial", "zeek.x509"}, {"certificate_serial", "zeek.x509"},
	} {
		if r.hasAll(log.column) {
			return r.record(log.name)
		}
	}
	return Value{}
}

// toClient tells a DNS record of Suricata's whose ends are those of the answer's
// packet: the name server is its source. Older versions give the ends of the flow.
func (r *Row) toClient() bool {
	from, _ := r.Column("src_port")
	to, _ := r.Column("dest_port")
	kind, _ := r.Column("dns.type")
	reply := bytes.Equal(kind.Raw, []byte("response")) || bytes.Equal(kind.Raw, []byte("answer"))
	return reply && namePort(from) && !namePort(to)
}

// namePort tells the ports at which names are served: DNS and its multicast kin.
func namePort(v Value) bool {
	switch string(v.Raw) {
	case "53", "5353", "5355", "853":
		return true
	}
	return false
}

func (r *Row) hasAll(columns ...string) bool { return has(r, columns) }
