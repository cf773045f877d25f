// Package peek reads the few members of an osquery result that tell what it is,
// its query's name and its decorations, without walking its rows.
//
// It must never fail and never copy a payload: what cannot be read is absent.
package peek

import (
	"bytes"
	"errors"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Envelope is what the members around the rows of a result say. Raw is nil in what
// is absent.
type Envelope struct {
	// Decorations are the names that are asked for; the caller sets them.
	Decorations []string
	// Values are theirs, in the same order, nested or merged into the top level:
	// there any member of the name counts, hostIdentifier among them. A nested one
	// goes first. The caller makes the room, empty.
	Values []event.Value
	// Name is the query's.
	Name event.Value

	nested bool // the member decorations has been read
}

// errDone ends a walk that knows enough.
var errDone = errors.New("nothing more is wanted")

// Read fills an envelope whose values are empty from the text of one result.
//
// osqueryd writes a single row after its envelope and lists of rows before it: the
// first is read from the beginning, the others from the end, so that neither way
// the rows are walked. That rests on osqueryd's order of members: with another it may
// take a walk, and decorations between the rows and the name are not seen.
func (e *Envelope) Read(payload []byte) {
	if rowsFirst(payload) {
		e.backward(payload)
	} else {
		e.forward(payload)
	}
}

// FirstLine returns the text of the first result of a string_batch call, and false
// where there is none.
func FirstLine(payload []byte) (line []byte, ok bool) {
	c := event.NewCursor(payload)
	_ = c.Array(func() error {
		v, err := c.Value()
		if err == nil && v.String {
			line, ok = v.Raw, true
			if v.Escaped {
				line = v.AppendText(nil)
			}
		}
		return errDone
	})
	return line, ok
}

// rowsFirst tells whether a list of rows comes before the envelope.
func rowsFirst(payload []byte) bool {
	b, ok := bytes.CutPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{"))
	b = bytes.TrimLeft(b, " \t\r\n")
	return ok && (bytes.HasPrefix(b, []byte(`"diffResults"`)) || bytes.HasPrefix(b, []byte(`"snapshot"`)))
}

// forward reads from the beginning, up to the columns.
func (e *Envelope) forward(payload []byte) {
	c := event.NewCursor(payload)
	_ = c.Object(func(key []byte) error { // what was read before an error counts
		if string(key) == "columns" && e.Name.Raw != nil {
			return errDone
		}
		v, err := c.Value()
		if err != nil {
			return err
		}
		if e.take(key, v) {
			return errDone
		}
		return nil
	})
}

// backward reads from the end, up to the rows: once the name is known, which
// follows them, the next list or object is theirs.
func (e *Envelope) backward(payload []byte) {
	t := tail{b: payload}
	if !t.begin() {
		return
	}
	for {
		if e.Name.Raw != nil && t.composite() {
			return
		}
		key, v, ok := t.member()
		if !ok || e.take(key, v) || !t.more() {
			return
		}
	}
}

// take keeps a top-level member that is wanted, and tells whether that was all.
func (e *Envelope) take(key []byte, v event.Value) (done bool) {
	if string(key) == "name" && v.String && e.Name.Raw == nil {
		e.Name = v
	}
	composite := !v.String && len(v.Raw) > 0 && (v.Raw[0] == '{' || v.Raw[0] == '[')
	switch {
	case !composite:
		e.keep(key, v, e.nested)
	case string(key) == "decorations" && !e.nested:
		e.nested = true
		e.nestedIn(v.Raw)
	}
	return e.Name.Raw != nil && (len(e.Decorations) == 0 || e.nested && e.all())
}

func (e *Envelope) all() bool {
	for _, v := range e.Values {
		if v.Raw == nil {
			return false
		}
	}
	return true
}

// nestedIn reads the decorations from their object; they go before members of the
// top level.
func (e *Envelope) nestedIn(object []byte) {
	c := event.NewCursor(object)
	_ = c.Object(func(key []byte) error {
		v, err := c.Value()
		if err == nil {
			e.keep(key, v, false)
		}
		return err
	})
}

// keep keeps a decoration that is asked for; onlyNew leaves what is known.
func (e *Envelope) keep(key []byte, v event.Value, onlyNew bool) {
	for i, name := range e.Decorations {
		if name == string(key) && (!onlyNew || e.Values[i].Raw == nil) {
			e.Values[i] = v
		}
	}
}
