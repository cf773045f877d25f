// Package origin keeps where rows were read in a few bytes each: which topic and
// partition, or which file, as a number in a table of its host's, and the offset or
// line there.
//
// It must never do I/O, nor trust a number that it reads: one that the table does not
// have stands for a place that is not known.
package origin

import (
	"cmp"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// most bounds a Table. A host's rows come in few topics; a scan may read many files.
const most = 1 << 10

// Place is where one row was read, and how late. The zero Place is not known.
type Place struct {
	// At is the offset or line, Late how long after it happened the row could be
	// read, in milliseconds.
	At, Late int64
	// Of is a number of the Table, from 1.
	Of uint16
}

// Table has the topics' partitions and files that a host's rows were read in. The zero
// Table is empty. It is for one goroutine.
type Table struct{ all []enrich.Position }

// Place returns where e was read. Fresh tells that the Table grew by it. When the
// Table is full, the place is not known.
func (t *Table) Place(e *enrich.Event) (p Place, fresh bool) {
	of := source(e.Position)
	if of == (enrich.Position{}) {
		return Place{}, false
	}
	i := slices.Index(t.all, of)
	if i < 0 {
		if len(t.all) >= most {
			return Place{}, false
		}
		i, fresh = len(t.all), true
		t.all = append(t.all, of)
	}
	return Place{At: e.Position.Offset + e.Position.Line, Late: e.Lateness().Milliseconds(), Of: uint16(i + 1)}, fresh
}

// source is a position without what tells its records apart.
func source(p enrich.Position) enrich.Position {
	p.Offset, p.Line = 0, 0
	return p
}

// Position returns where p is. It is false for a place that is not known.
func (t *Table) Position(p Place) (enrich.Position, bool) {
	if p.Of == 0 || int(p.Of) > len(t.all) {
		return enrich.Position{}, false
	}
	at := t.all[p.Of-1]
	if at.File != "" {
		at.Line = p.At
	} else {
		at.Offset = p.At
	}
	return at, true
}

// Cite adds the row at p to the event's evidence, where its place is known.
func (t *Table) Cite(e *enrich.Event, part, id string, p Place) {
	if at, ok := t.Position(p); ok {
		e.Evidence = append(e.Evidence, enrich.Evidence{For: part, ID: id, Position: at, Lateness: time.Duration(p.Late) * time.Millisecond})
	}
}

// Earlier tells whether a stands before b, whatever the order in which the two were
// met: of two rows that tell the same, that one is cited. A known place stands before
// one that is not.
func (t *Table) Earlier(a, b Place) bool {
	from, knownA := t.Position(a)
	to, knownB := t.Position(b)
	if !knownA || !knownB {
		return knownA && !knownB
	}
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(from.Topic, to.Topic), cmp.Compare(from.Partition, to.Partition),
		cmp.Compare(from.File, to.File), cmp.Compare(a.Late, b.Late)) < 0
}

// Append writes the Table.
func (t *Table) Append(b []byte) []byte {
	b = compact.Number(b, uint64(len(t.all)))
	for i := range t.all {
		p := &t.all[i]
		b = compact.Number(compact.Text(compact.Text(b, p.File), p.Topic), uint64(uint32(p.Partition)))
	}
	return b
}

// Read reads what Append wrote.
func Read(r *compact.Reader) (t Table) {
	for range r.Length() {
		t.all = append(t.all, enrich.Position{File: r.Text(), Topic: r.Text(), Partition: int32(uint32(r.Number()))})
	}
	if len(t.all) > most {
		r.Fail(compact.ErrShort)
	}
	if r.Err() != nil {
		return Table{}
	}
	return t
}

// AppendPlace writes p.
func AppendPlace(b []byte, p Place) []byte {
	if b = compact.Number(b, uint64(p.Of)); p.Of == 0 {
		return b
	}
	return compact.Signed(compact.Signed(b, p.At), p.Late)
}

// ReadPlace reads what AppendPlace wrote.
func ReadPlace(r *compact.Reader) (p Place) {
	of := r.Number()
	if of > most {
		r.Fail(compact.ErrShort)
	}
	if of == 0 || r.Err() != nil {
		return Place{}
	}
	p = Place{Of: uint16(of), At: r.Signed(), Late: r.Signed()}
	if r.Err() != nil {
		return Place{}
	}
	return p
}
