package event

import (
	"encoding/binary"
	"strings"
)

// Lens says what the rows of one table mean: which column answers for which
// field. A column that a query left out is simply not answered.
type Lens struct {
	// Table is osquery's name for the table, the sensor's and its record's for a
	// sensor ("zeek.conn"), the user's own for a lens of theirs; empty for the
	// lens of kind other.
	Table string
	Kind  Kind
	// Inventory tells that rows say what was so when the query ran, or how that
	// changed since; they do not say what happened when.
	Inventory bool

	columns [fieldCount]string
	// times are the columns that tell when, best first.
	times []timeColumn
	// named are the columns a row must have when its query is named after the
	// table, alone those that tell the table without a name; empty when no
	// columns can.
	named, alone []string
	// match is what a user's lens asks of a query's name; nil takes any.
	match func(query string) bool
}

// Column is the name of the column that answers for f, or empty.
func (l *Lens) Column(f Field) string { return l.columns[f] }

// Lenses recognises tables by query name and columns, and sensors' records by
// what sensor and record they are. It is immutable and safe for concurrent use.
type Lenses struct {
	own, all []*Lens
	sensors  map[string][]*Lens
	other    *Lens
	record   *Lens
}

// NewLenses returns the lenses for the tables and sensors this package knows,
// after the user's own: of those the first that fits a row is taken.
func NewLenses(own ...Custom) *Lenses {
	l := &Lenses{all: tables(), sensors: sensorLenses(), other: &Lens{Kind: Other, Inventory: true}, record: &Lens{Kind: Other}}
	for _, c := range own {
		l.own = append(l.own, c.lens())
	}
	return l
}

// Knows tells whether this package has a lens for a table or sensor's record of
// that name.
func (l *Lenses) Knows(table string) bool {
	for _, lens := range l.all {
		if lens.Table == table {
			return true
		}
	}
	return len(l.sensors[table]) > 0
}

// Tables are the names of osquery's tables that this package knows.
func (l *Lenses) Tables() []string {
	names := make([]string, len(l.all))
	for i, lens := range l.all {
		names[i] = lens.Table
	}
	return names
}

// Find returns the lens for a row. A user's own comes first. A query named after
// a table ("socket_events", "pack_linux_socket_events",
// "pack/linux/socket_events") means that table when the row has the columns it
// cannot do without; else the columns decide, where they can mean only one table.
// A sensor's record is what Row.ParseSensor says. Any other row gets a lens of
// kind other, which answers for nothing.
func (l *Lenses) Find(r *Row) *Lens {
	if r.Sensor {
		return l.findSensor(r)
	}
	for _, lens := range l.own {
		if (lens.match == nil || lens.match(r.Query.Text())) && has(r, lens.named) {
			return lens
		}
	}
	return l.findTable(r, string(r.Query.Raw))
}

func (l *Lenses) findTable(r *Row, query string) *Lens {
	best := l.other
	for _, lens := range l.all {
		if len(lens.Table) > len(best.Table) && namedAfter(query, lens.Table) && has(r, lens.named) {
			best = lens
		}
	}
	if best != l.other {
		return best
	}
	for _, lens := range l.all {
		if len(lens.alone) > len(best.alone) && has(r, lens.alone) {
			best = lens
		}
	}
	return best
}

func (l *Lenses) findSensor(r *Row) *Lens {
	for _, lens := range l.sensors[string(r.Query.Raw)] {
		if has(r, lens.named) {
			return lens
		}
	}
	return l.record
}

func namedAfter(query, table string) bool {
	if !strings.HasSuffix(query, table) {
		return false
	}
	at := len(query) - len(table)
	return at == 0 || strings.IndexByte("_/-.: ", query[at-1]) >= 0
}

func has(r *Row, columns []string) bool {
	for _, name := range columns {
		if _, ok := r.Column(name); !ok {
			return false
		}
	}
	return true
}

// finderCap bounds what a Finder remembers. A fleet has hundreds of queries;
// whoever sends more than this pays the slow way for the rest.
const finderCap = 4096

// Finder remembers which query and columns meant which table, since
// Lenses.Find asks every lens. It is for one goroutine.
type Finder struct {
	lenses *Lenses
	known  map[string]*Lens
	key    []byte
}

// NewFinder returns a Finder over lenses.
func NewFinder(lenses *Lenses) *Finder {
	return &Finder{lenses: lenses, known: map[string]*Lens{}}
}

// Find does what Lenses.Find does, whatever it found before: two hosts may run
// different queries under one name.
func (f *Finder) Find(r *Row) *Lens {
	if r.Sensor { // recognised by its name alone, and of too many shapes to remember
		return f.lenses.findSensor(r)
	}
	f.key = appendShape(f.key[:0], r)
	if lens, ok := f.known[string(f.key)]; ok {
		return lens
	}
	lens := f.lenses.Find(r)
	if len(f.known) < finderCap {
		f.known[string(f.key)] = lens
	}
	return lens
}

// appendShape appends all that Lenses.Find looks at. Each text goes with its
// length, so that no host can make a row that is taken for another's.
func appendShape(dst []byte, r *Row) []byte {
	dst = appendSized(dst, r.Query.Raw)
	for i := range r.Columns {
		dst = appendSized(dst, r.Columns[i].Name)
	}
	return dst
}

func appendSized(dst, text []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
