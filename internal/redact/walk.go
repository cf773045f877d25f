package redact

import (
	"bytes"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/glob"
	"github.com/stackjoin/stackjoin/internal/peek"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// walk looks through one payload and gathers its edits. It is reused.
type walk struct {
	r       *Rules
	c       event.Cursor
	payload []byte
	edits   []edit

	// active are the rules that look at this call, on those of them that look at
	// this column.
	active, on []int
	text       []byte // of a string with escapes
	spans      []span
}

func (w *walk) begin(payload []byte) {
	clear(w.edits)
	w.payload, w.c, w.edits = payload, event.NewCursor(payload), w.edits[:0]
}

// call looks through a call of any type: as the form that its type promises, else as
// any JSON, else as text.
func (w *walk) call(typ byte, payload []byte) {
	w.begin(payload)
	w.choose(typ)
	formed, err := w.form(typ)
	if err == nil {
		err = w.c.End()
	}
	if err == nil && formed {
		return
	}
	w.active = append(w.active[:0], w.r.all...)
	w.begin(payload)
	if w.value(w.active) == nil && w.c.End() == nil {
		return
	}
	w.begin(payload)
	w.raw()
}

// choose makes the rules active that look at this call's query.
func (w *walk) choose(typ byte) {
	w.active = append(w.active[:0], w.r.all...)
	switch {
	case !w.r.named:
	case typ == extension.TypeStatus:
		w.active = append(w.active[:0], w.r.nameless...)
	case typ == extension.TypeString, typ == extension.TypeSnapshot:
		var e peek.Envelope
		e.Read(w.payload)
		if e.Name.Raw == nil {
			return
		}
		w.text = e.Name.AppendText(w.text[:0])
		w.active = w.active[:0]
		for i, rule := range w.r.rules {
			if len(rule.queries) == 0 || glob.Any(rule.queries, w.text) {
				w.active = append(w.active, i)
			}
		}
	}
}

// form walks the form of a type; formed is false where it is another.
func (w *walk) form(typ byte) (formed bool, err error) {
	switch typ {
	case extension.TypeString, extension.TypeSnapshot:
		return w.result()
	case extension.TypeStringBatch:
		return true, w.c.Array(w.line)
	case extension.TypeStatus:
		return true, w.c.Array(func() error { return w.c.Object(w.statusMember) })
	case extension.TypeEvent:
		return true, w.c.Object(w.column)
	}
	return false, nil
}

func (w *walk) result() (formed bool, err error) {
	err = w.c.Object(func(key []byte) error {
		switch string(key) {
		case "columns", "snapshot":
			formed = true
			return w.rows()
		case "diffResults":
			formed = true
			if w.c.Peek() == '{' {
				return w.c.Object(func([]byte) error { return w.rows() })
			}
			return w.value(w.active)
		}
		return w.skip()
	})
	return formed, err
}

// rows walks a row or a list of them; in anything else every string is a column's.
func (w *walk) rows() error {
	switch w.c.Peek() {
	case '{':
		return w.c.Object(w.column)
	case '[':
		return w.c.Array(func() error {
			if w.c.Peek() == '{' {
				return w.c.Object(w.column)
			}
			return w.value(w.active)
		})
	}
	return w.value(w.active)
}

func (w *walk) statusMember(key []byte) error {
	if string(key) == "m" {
		return w.column([]byte("message"))
	}
	return w.skip()
}

func (w *walk) skip() error {
	_, err := w.c.Value()
	return err
}

// column looks at the value of a column with the rules that look there.
func (w *walk) column(name []byte) error {
	w.on = w.on[:0]
	for _, i := range w.r.byColumn[string(name)] {
		if slices.Contains(w.active, i) {
			w.on = append(w.on, i)
		}
	}
	for _, i := range w.r.globbed {
		if slices.Contains(w.active, i) && glob.Any(w.r.rules[i].globs, name) {
			w.on = append(w.on, i)
		}
	}
	if len(w.on) == 0 {
		return w.skip()
	}
	return w.value(w.on)
}

// value looks at a value with the rules on, and at every string of a list or an
// object, names too.
func (w *walk) value(on []int) error {
	v, err := w.c.Value()
	if err != nil {
		return err
	}
	end := w.c.Offset()
	switch {
	case v.String:
		w.look(end-1-len(v.Raw), v, on)
	case v.Raw[0] == '{' || v.Raw[0] == '[':
		w.strings(end-len(v.Raw), end, on)
	default:
		w.literal(end-len(v.Raw), v, on)
	}
	return nil
}

// strings looks at the strings of valid JSON.
func (w *walk) strings(at, end int, on []int) {
	for {
		quote := bytes.IndexByte(w.payload[at:end], '"')
		if quote < 0 {
			return
		}
		at += quote
		c := event.NewCursor(w.payload[at:end])
		v, err := c.Value()
		if err != nil {
			return
		}
		w.look(at+1, v, on)
		at += c.Offset()
	}
}

// look looks at the inside of a string, which begins at start.
func (w *walk) look(start int, v event.Value, on []int) {
	text := v.Raw
	if v.Escaped {
		w.text = v.AppendText(w.text[:0])
		text = w.text
	}
	places := escapes{raw: v.Raw, plain: !v.Escaped}
	for _, s := range w.find(text, on) {
		from, to := places.seek(s.start, false), places.seek(s.end, true)
		w.edits = append(w.edits, edit{start + from, start + to, w.r.mark(s.rule, text[s.start:s.end])})
	}
}

// literal looks at a number, true, false or null. What is left of it becomes a
// string.
func (w *walk) literal(start int, v event.Value, on []int) {
	spans := w.find(v.Raw, on)
	if len(spans) == 0 {
		return
	}
	edits := make([]edit, 0, len(spans))
	for _, s := range spans {
		edits = append(edits, edit{s.start, s.end, w.r.mark(s.rule, v.Raw[s.start:s.end])})
	}
	w.edits = append(w.edits, edit{start, start + len(v.Raw), `"` + string(splice(v.Raw, edits)) + `"`})
}

// line looks at one line of a batch: a result within a string.
func (w *walk) line() error {
	v, err := w.c.Value()
	if err != nil || !v.String {
		return err
	}
	start := w.c.Offset() - 1 - len(v.Raw)
	w.text = v.AppendText(w.text[:0])
	inner := w.r.borrow()
	defer w.r.giveBack(inner)
	inner.call(extension.TypeString, w.text)
	places := escapes{raw: v.Raw, plain: !v.Escaped}
	for _, e := range inner.edits {
		from, to := places.seek(e.start, false), places.seek(e.end, true)
		w.edits = append(w.edits, edit{start + from, start + to, strings.ReplaceAll(e.with, `"`, `\"`)})
	}
	return nil
}
