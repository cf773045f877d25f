package event

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// ErrForm is wrapped by the error for JSON that is none of osquery's forms.
var ErrForm = errors.New("no form of osquery")

// Rows are the rows of one osquery result, whatever form it came in, as places
// in its payload. They are read with AppendRow, as often as wanted, and are the
// same each time for the same payload: that is what lets a row be named by its
// number. Rows do not change once made; the payload must not either.
type Rows struct {
	payload []byte
	form    form
	// envelope holds the members that every row of a batch or snapshot shares,
	// ready to be followed by its own.
	envelope []byte
	rows     []span
	// dirty is set where strings hold bytes that JSON does not allow.
	dirty bool
	query Value
}

// span is a row's place in the payload and what its list says of it.
type span struct {
	start, end int
	action     action
}

type action uint8

const (
	noAction action = iota
	added
	removed
	snapshot
)

func (a action) member() string {
	switch a {
	case added:
		return `"action":"added"`
	case removed:
		return `"action":"removed"`
	case snapshot:
		return `"action":"snapshot"`
	}
	return ""
}

// form is what a top-level member says of the result it stands in. Where
// members say different things the highest counts: with --decorations_top_level
// a decoration of any name, and with text for a value, stands among them.
type form uint8

const (
	formless   form = iota
	noDiff          // diffResults that the AWS loggers emptied
	noSnapshot      // a snapshot that they emptied
	single          // columns
	diff            // diffResults
	list            // snapshot
)

// whole tells that the payload is the row.
func (f form) whole() bool { return f == single }

// SplitResult reads one osquery result: event form (one row), batch form
// (`diffResults`; removed rows first, as osquery orders them) or snapshot form
// (`snapshot`). An error wraps ErrForm, ErrDepth or a *SyntaxError; the payload
// is then no result and has no rows.
//
// Bytes that JSON does not allow inside strings (control bytes, bytes that are
// no UTF-8: osquery writes snapshot rows unescaped) are not an error: AppendRow
// mends them and says so.
func SplitResult(payload []byte) (*Rows, error) {
	r := &Rows{payload: payload}
	members, err := r.scan()
	switch {
	case err != nil:
		return nil, err
	case r.form == formless:
		return nil, &SyntaxError{Reason: "no columns, diffResults or snapshot: " + ErrForm.Error(), err: ErrForm}
	case r.form.whole():
		r.payload = bytes.TrimSpace(payload)
		r.rows = []span{{0, len(r.payload), noAction}}
	default:
		r.share(members)
	}
	return r, nil
}

// topMember is the place of a top-level member, name and all.
type topMember struct {
	start, end int
	form       form
}

// scan walks the payload once. It returns the members that rows might share.
func (r *Rows) scan() (members []topMember, err error) {
	s := scanner{b: r.payload}
	err = s.object(func(key []byte) error {
		start := s.keyAt
		f, err := r.member(&s, key)
		r.form = max(r.form, f)
		if f < single && string(key) != "action" {
			members = append(members, topMember{start, s.i, f})
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	r.dirty = s.control || !utf8.Valid(r.payload)
	return members, err
}

// member steps over the value of one top-level member.
func (r *Rows) member(s *scanner, key []byte) (form, error) {
	c := s.peek()
	switch string(key) {
	case "diffResults":
		if c == '{' {
			return diff, r.diff(s)
		}
		return emptied(s, noDiff)
	case "snapshot":
		if c == '[' {
			return list, r.list(s, snapshot)
		}
		return emptied(s, noSnapshot)
	}
	value, err := s.any()
	switch string(key) {
	case "name":
		r.query = value
	case "columns":
		return single, err
	}
	return formless, err
}

// emptied steps over a value in the place of rows: it means f when it is what
// the AWS loggers make of an empty list or object, and nothing otherwise.
func emptied(s *scanner, f form) (form, error) {
	v, err := s.any()
	if !v.Empty() {
		f = formless
	}
	return f, err
}

// share keeps the members that all rows of a list share. They come before a
// row's own columns and action, so members of these names are not among them:
// osquery does the same to decorations in event form.
func (r *Rows) share(members []topMember) {
	r.envelope = append(r.envelope, '{')
	for _, m := range members {
		if m.form == r.form {
			continue
		}
		r.envelope = append(append(r.envelope, r.payload[m.start:m.end]...), ',')
	}
}

// diff reads the object of diffResults.
func (r *Rows) diff(s *scanner) error {
	return s.object(func(key []byte) error {
		switch string(key) {
		case "removed":
			return r.list(s, removed)
		case "added":
			return r.list(s, added)
		}
		_, err := s.value()
		return err
	})
}

// list reads an array of rows, or what the AWS loggers make of an empty one.
func (r *Rows) list(s *scanner, a action) error {
	if s.peek() != '[' {
		v, err := s.any()
		if err == nil && !v.Empty() {
			err = s.fail("expected a list of rows")
		}
		return err
	}
	return s.array(func() error {
		if s.peek() != '{' {
			return s.fail("expected a row")
		}
		start := s.i
		_, err := s.value()
		r.rows = append(r.rows, span{start, s.i, a})
		return err
	})
}

// Len is the number of rows; 0 for an empty result, which still makes one
// record (AppendRow with row 0).
func (r *Rows) Len() int { return len(r.rows) }

// Records is the number of records the result makes: one per row, and one for
// an empty result.
func (r *Rows) Records() int { return max(1, len(r.rows)) }

// Query is the name of the scheduled query, or empty.
func (r *Rows) Query() string { return r.query.Text() }

// Snapshot tells whether the result came in snapshot form.
func (r *Rows) Snapshot() bool { return r.form == list || r.form == noSnapshot }

// AppendRow appends record i as one JSON object in event form. Its members are
// the payload's bytes: in event form the payload itself, else the members all
// rows share, then `columns` and `action`. The record of an empty result has no
// `columns`. Bytes that JSON does not allow are mended as by AppendMended.
func (r *Rows) AppendRow(dst []byte, i int) []byte {
	start := len(dst)
	dst = r.appendPlain(dst, i)
	if !r.dirty {
		return dst
	}
	return mend(dst, start)
}

func (r *Rows) appendPlain(dst []byte, i int) []byte {
	if r.form.whole() {
		return append(dst, r.payload...)
	}
	dst = append(dst, r.envelope...)
	a := noAction
	if r.Snapshot() {
		a = snapshot
	}
	if i < len(r.rows) {
		row := r.rows[i]
		a = row.action
		dst = append(dst, `"columns":`...)
		dst = append(append(dst, r.payload[row.start:row.end]...), ',')
	}
	dst = append(dst, a.member()...)
	if dst[len(dst)-1] == ',' { // the record of an empty difference has no action
		dst = dst[:len(dst)-1]
	}
	return append(dst, '}')
}

// SplitLines reads the string_batch call: a JSON array of strings, each the
// text of one result.
func SplitLines(payload []byte) ([][]byte, error) {
	s := scanner{b: payload}
	var lines [][]byte
	err := s.array(func() error {
		text, err := s.str()
		if err != nil {
			return err
		}
		lines = append(lines, appendUnescaped(make([]byte, 0, len(text)), text))
		return nil
	})
	if err == nil {
		err = s.end()
	}
	return lines, err
}
