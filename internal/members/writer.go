package members

import (
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Writer appends JSON to B. It keeps the commas right, leaves out what is empty and
// clips texts to its limit. The first member of a new Writer is the first of its object.
// It is for one goroutine.
type Writer struct {
	// B is what was written. Whoever appends to it between members keeps it JSON.
	B []byte
	// Limit is of one text, in bytes; 0 is none.
	Limit int
	// Cut tells that a text was clipped.
	Cut   bool
	after bool // a member stands before the next one
}

// Comma writes one where something stands before.
func (w *Writer) Comma() {
	if w.after {
		w.B = append(w.B, ',')
	}
	w.after = true
}

// Key begins a member, whose value is written next. name needs no escapes.
func (w *Writer) Key(name string) {
	w.Comma()
	w.B = append(append(append(w.B, '"'), name...), '"', ':')
}

// Open writes a bracket that opens.
func (w *Writer) Open(c byte) { w.B, w.after = append(w.B, c), false }

// Close writes a bracket that closes.
func (w *Writer) Close(c byte) { w.B, w.after = append(w.B, c), true }

// Empty tells that nothing stands in the bracket that was opened last.
func (w *Writer) Empty() bool { return !w.after }

// Object writes the members that inside does, and nothing where it writes none.
func (w *Writer) Object(name string, inside func()) {
	start, after := len(w.B), w.after
	w.Key(name)
	w.Open('{')
	inside()
	if !w.after {
		w.B, w.after = w.B[:start], after
		return
	}
	w.Close('}')
}

// List writes n objects, each with the members that element writes, and nothing for
// none.
func (w *Writer) List(name string, n int, element func(i int)) {
	if n == 0 {
		return
	}
	w.Key(name)
	w.Open('[')
	for i := range n {
		w.Comma()
		w.Open('{')
		element(i)
		w.Close('}')
	}
	w.Close(']')
}

// Text writes a text that is not empty.
func (w *Writer) Text(name, value string) {
	if value != "" {
		w.Key(name)
		w.B = event.AppendString(w.B, w.Clip(value, w.Limit))
	}
}

// Clip cuts value to limit bytes at a character's edge, and notes that it did. A limit
// of 0 is none.
func (w *Writer) Clip(value string, limit int) string {
	if limit <= 0 || len(value) <= limit {
		return value
	}
	w.Cut = true
	for limit > 0 && value[limit]&0xc0 == 0x80 {
		limit--
	}
	return value[:limit]
}

// Texts writes a list of distinct texts, and nothing where there are none.
func (w *Writer) Texts(name string, values ...string) {
	start, after, wrote := len(w.B), w.after, false
	w.Key(name)
	w.Open('[')
	for i, v := range values {
		if v == "" || slices.Contains(values[:i], v) {
			continue
		}
		w.Comma()
		w.B = event.AppendString(w.B, w.Clip(v, w.Limit))
		wrote = true
	}
	if !wrote {
		w.B, w.after = w.B[:start], after
		return
	}
	w.Close(']')
}

// Number writes a whole number.
func (w *Writer) Number(name string, n int64) {
	w.Key(name)
	w.B = strconv.AppendInt(w.B, n, 10)
}

// Count writes a number that says something only above 0.
func (w *Writer) Count(name string, n int64) {
	if n > 0 {
		w.Number(name, n)
	}
}

// Amount writes a number above 0 that may have a fraction.
func (w *Writer) Amount(name string, n float64) {
	if n > 0 {
		w.Key(name)
		w.B = strconv.AppendFloat(w.B, n, 'f', -1, 64)
	}
}

// Truth writes a truth value, false too.
func (w *Writer) Truth(name string, v bool) {
	w.Key(name)
	w.B = strconv.AppendBool(w.B, v)
}

// Mark writes a truth value that says something only where it is true.
func (w *Writer) Mark(name string, v bool) {
	if v {
		w.Truth(name, v)
	}
}

// Time writes a time that is not zero, to the millisecond, as the wire has times.
func (w *Writer) Time(name string, t time.Time) {
	if !t.IsZero() {
		w.Key(name)
		w.B = append(event.AppendTime(append(w.B, '"'), t), '"')
	}
}

// Moment writes a time that is not zero, to the nanosecond, for who reads it back.
func (w *Writer) Moment(name string, t time.Time) {
	if !t.IsZero() {
		w.Key(name)
		w.B = append(t.UTC().AppendFormat(append(w.B, '"'), time.RFC3339Nano), '"')
	}
}

// Members writes members that are JSON already, and nothing for none.
func (w *Writer) Members(all []byte) {
	if len(all) > 0 {
		w.Comma()
		w.B = append(w.B, all...)
	}
}

// Raw writes a value that is JSON already, and nothing for none.
func (w *Writer) Raw(name string, value []byte) {
	if len(value) > 0 {
		w.Key(name)
		w.B = append(w.B, value...)
	}
}
