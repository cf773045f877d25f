package event

import (
	"encoding/binary"
	"strings"
)

// Lens says what the rows of one table mean: which column answers for which
// field. A column that a query left out is simply not answered.
type Lens struct {
	// Table is osquery's name for the table, empty for the lens of kind other.
	Table string
	Kind  Kind
	// Inventory tells that rows say what was so when the query ran, or how that
	// changed since; they do not say what happened when.
	Inventory bool

	columns [fieldCount]string
	// named are the columns a row must have when its query is named after the
	// table, alone those that tell the table without a name; empty when no
	// columns can.
	named, alone []string
}

// Column is the name of the column that answers for f, or empty.
func (l *Lens) Column(f Field) string { return l.columns[f] }

// Lenses recognises tables by query name and columns. It is immutable and safe
// for concurrent use.
type Lenses struct {
	all   []*Lens
	other *Lens
}

// NewLenses returns the lenses for the tables this package knows.
func NewLenses() *Lenses {
	return &Lenses{all: tables(), other: &Lens{Kind: Other, Inventory: true}}
}

// Find returns the lens for a row. A query named after a table ("socket_events",
// "pack_linux_socket_events", "pack/linux/socket_events") means that table when
// the row has the columns it cannot do without; else the columns decide, where
// they can mean only one table. Any other row gets the lens of kind other, which
// answers for nothing.
func (l *Lenses) Find(r *Row) *Lens {
	best := l.other
	query := string(r.Query.Raw)
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
