package cloudtrail

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// errTooLarge is a value beyond the limit; errCut is one that the text ends in.
var (
	errTooLarge = errors.New("a value is larger than the limit")
	errCut      = errors.New("the text ends within a value")
)

// window looks at a text of JSON values, a value at a time, so that a file costs the
// memory of its largest value.
type window struct {
	r        io.Reader
	buf      []byte
	at       int   // of the next byte in buf
	line     int64 // of the next byte, from 1
	ended    bool  // nothing can be read any more
	err      error // what ended the reading, but for io.EOF
	maxValue int
}

func newWindow(r io.Reader, maxValue int) *window {
	return &window{r: r, line: 1, maxValue: maxValue}
}

// windowOn looks at text in place.
func windowOn(text []byte, maxValue int) *window {
	return &window{buf: text, line: 1, ended: true, maxValue: maxValue}
}

// firstRead is how much is read at once; it grows with the value at hand, so that
// the text of a long one is looked at twice at most.
const firstRead = 64 << 10

// more reads at least as much as is held; false at the end of the text.
func (w *window) more() bool {
	if w.ended {
		return false
	}
	held := len(w.buf) - w.at
	want := max(held, firstRead)
	next := make([]byte, held, held+want)
	copy(next, w.buf[w.at:])
	n, err := io.ReadFull(w.r, next[held:held+want])
	w.buf, w.at = next[:held+n], 0
	if err != nil {
		w.ended = true
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			w.err = err
		} else if d := new(damage); errors.As(err, &d) {
			w.err = err
		}
	}
	return n > 0
}

// byte returns the byte i places ahead, false at the end of the text.
func (w *window) byte(i int) (byte, bool) {
	for w.at+i >= len(w.buf) {
		if !w.more() {
			return 0, false
		}
	}
	return w.buf[w.at+i], true
}

// pass steps over n bytes that are in buf.
func (w *window) pass(n int) {
	w.line += int64(bytes.Count(w.buf[w.at:w.at+n], []byte{'\n'}))
	w.at += n
}

// next skips white space and returns the byte after it, false at the end.
func (w *window) next() (byte, bool) {
	for {
		c, ok := w.byte(0)
		if !ok || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, ok
		}
		w.pass(1)
	}
}

// value returns the next value's text, without stepping over it.
func (w *window) value() ([]byte, error) {
	for {
		text := w.buf[w.at:]
		c := event.NewCursor(text)
		_, err := c.Value()
		if err == nil && (w.ended || c.Offset() < len(text)) {
			if c.Offset() > w.maxValue {
				return nil, errTooLarge
			}
			return text[:c.Offset()], nil
		}
		if err != nil && (w.ended || !atEnd(err, len(text))) {
			return nil, w.explain(err, len(text))
		}
		if len(text) > w.maxValue {
			return nil, errTooLarge
		}
		w.more()
	}
}

// atEnd tells an error that more text may undo: escapes and literals of up to six
// bytes are reported where they begin.
func atEnd(err error, size int) bool {
	var e *event.SyntaxError
	return errors.As(err, &e) && e.Offset+6 >= size
}

func (w *window) explain(err error, size int) error {
	var e *event.SyntaxError
	if w.ended && errors.As(err, &e) && e.Offset >= size {
		return errCut
	}
	return fmt.Errorf("no JSON: %w", err)
}

// matcher follows brackets through text that may be no JSON.
type matcher struct {
	depth           int
	quoted, escaped bool
}

// ends tells whether c closes the first bracket.
func (m *matcher) ends(c byte) bool {
	switch {
	case m.escaped:
		m.escaped = false
	case m.quoted && c == '\\':
		m.escaped = true
	case c == '"':
		m.quoted = !m.quoted
	case m.quoted:
	case c == '{', c == '[':
		m.depth++
	case c == '}', c == ']':
		m.depth--
		return m.depth <= 0
	}
	return false
}

// skip steps over a value that cannot be read: to its closing bracket, or to the end
// of a line after which another value begins at the margin, or, in a list, to a comma
// or the list's end. It returns the first bytes of what it skipped, and the size of it.
func (w *window) skip(inList bool) (head []byte, size int64) {
	var m matcher
	for {
		c, ok := w.byte(0)
		if !ok {
			return head, size
		}
		if inList && size > 0 && (c == ']' || c == ',') && m.depth == 0 && !m.quoted {
			return head, size
		}
		if len(head) < keptOriginal {
			head = append(head, c)
		}
		size++
		w.pass(1)
		if m.ends(c) {
			return head, size
		}
		if c == '\n' {
			if after, ok := w.byte(0); !ok || after == '{' || after == '[' || m.depth == 0 {
				return head, size
			}
		}
	}
}
