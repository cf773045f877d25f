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
// number.
type Rows struct {
	payload []byte
	// envelope holds the members that every row of a batch or snapshot shares,
	// ready to be followed by its own.
	envelope []byte
	rows     []span
	// whole is set for event form, where the payload is the row.
	whole bool
	// snapshot is set for snapshot form.
	snapshot bool
	// dirty is set where strings hold bytes that JSON does not allow.
	dirty bool
	query Value
}

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
		return `,"action":"added"`
	case removed:
		return `,"action":"removed"`
	case snapshot:
		return `,"action":"snapshot"`
	}
	return ""
}

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
	var shared []span // key and value of the members that rows share
	var form form
	s := scanner{b: payload}
	err := s.object(func(key []byte) error {
		start := s.keyAt
		f, err := r.member(&s, key)
		form = max(form, f)
		if f < listed {
			shared = append(shared, span{start: start, end: s.i})
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && form == formless {
		err = &SyntaxError{Reason: "no columns, diffResults or snapshot: " + ErrForm.Error(), err: ErrForm}
	}
	if err != nil {
		return nil, err
	}
	r.dirty = s.control || !utf8.Valid(payload)
	if form == listed {
		r.share(shared)
		return r, nil
	}
	r.whole = true
	r.payload = bytes.TrimSpace(payload)
	r.rows = []span{{0, len(r.payload), noAction}}
	return r, nil
}

// form is what a member's name says of the result it stands in.
type form uint8

const (
	formless form = iota
	single        // columns
	listed        // diffResults or snapshot
)

// member steps over the value of one top-level member.
func (r *Rows) member(s *scanner, key []byte) (form, error) {
	c := s.peek()
	switch {
	case string(key) == "diffResults" && (c == '{' || c == '"'):
		return listed, r.diff(s)
	case string(key) == "snapshot" && (c == '[' || c == '"'):
		r.snapshot = true
		return listed, r.list(s, snapshot)
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

// share keeps the members that all rows of a list share. A row's own columns
// and action come after them, and a list's own action says less than a row's.
func (r *Rows) share(members []span) {
	r.envelope = append(r.envelope, '{')
	for _, m := range members {
		text := r.payload[m.start:m.end]
		if bytes.HasPrefix(text, []byte(`"action"`)) || bytes.HasPrefix(text, []byte(`"columns"`)) {
			continue
		}
		if len(r.envelope) > 1 {
			r.envelope = append(r.envelope, ',')
		}
		r.envelope = append(r.envelope, text...)
	}
}

func (r *Rows) diff(s *scanner) error {
	if s.peek() == '"' { // the AWS loggers write an empty object as ""
		_, err := s.str()
		return err
	}
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

func (r *Rows) list(s *scanner, a action) error {
	if s.peek() == '"' { // the AWS loggers write an empty list as ""
		_, err := s.str()
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
func (r *Rows) Snapshot() bool { return r.snapshot }

// AppendRow appends record i as one JSON object in event form. Its members are
// the payload's bytes: in event form the payload itself, else the members all
// rows share, then `columns` and `action`. The record of an empty result has no
// `columns`. Bytes that JSON does not allow are mended; the row then says
// `"escaped":true` and carries the original in base64 as `raw`.
func (r *Rows) AppendRow(dst []byte, i int) []byte {
	start := len(dst)
	dst = r.appendPlain(dst, i)
	if !r.dirty {
		return dst
	}
	return mend(dst, start)
}

// mend makes the JSON object dst[start:] hold only bytes that JSON allows. If
// that changes it, the object says so and carries the original.
func mend(dst []byte, start int) []byte {
	plain := bytes.Clone(dst[start:])
	mended := appendMended(dst[:start], plain)
	if len(mended)-start == len(plain) { // mending only ever lengthens
		return mended
	}
	mended = append(mended[:len(mended)-1], `,"escaped":true,"raw":`...)
	return append(appendBase64(mended, plain), '}')
}

func (r *Rows) appendPlain(dst []byte, i int) []byte {
	if r.whole {
		return append(dst, r.payload...)
	}
	dst = append(dst, r.envelope...)
	a := noAction
	if r.snapshot {
		a = snapshot
	}
	if i < len(r.rows) {
		row := r.rows[i]
		a = row.action
		if len(r.envelope) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `"columns":`...), r.payload[row.start:row.end]...)
	}
	member := a.member()
	if dst[len(dst)-1] == '{' && member != "" {
		member = member[1:]
	}
	return append(append(dst, member...), '}')
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
