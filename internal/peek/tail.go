package peek

import (
	"bytes"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// tail reads the members of a JSON object from the last to the first. In valid JSON
// a quote ends or begins a string exactly if an even number of backslashes stands
// before it, so strings can be told from the end as from the beginning. In anything
// else it may take a part of the text for a member, but always ends.
type tail struct {
	b []byte // what is unread
}

// begin steps over the closing brace.
func (t *tail) begin() bool { return t.back('}') && !t.ends('{') }

// more steps over the comma before a member, and is false at the first.
func (t *tail) more() bool { return t.back(',') }

// member steps over a member and returns its name and value.
func (t *tail) member() (name []byte, v event.Value, ok bool) {
	v, ok = t.value()
	if !ok || !t.back(':') {
		return nil, v, false
	}
	key, ok := t.str()
	if ok && key.Escaped {
		return key.AppendText(nil), v, true
	}
	return key.Raw, v, ok
}

// composite tells whether the next value is an object or an array.
func (t *tail) composite() bool { return t.ends('}') || t.ends(']') }

func (t *tail) space() { t.b = bytes.TrimRight(t.b, " \t\r\n") }

func (t *tail) ends(c byte) bool {
	t.space()
	return len(t.b) > 0 && t.b[len(t.b)-1] == c
}

// back steps over c.
func (t *tail) back(c byte) bool {
	if !t.ends(c) {
		return false
	}
	t.b = t.b[:len(t.b)-1]
	return true
}

func (t *tail) value() (event.Value, bool) {
	switch {
	case t.ends('"'):
		return t.str()
	case t.composite():
		return t.brackets()
	}
	start := bytes.LastIndexByte(t.b, ':') + 1
	text := bytes.TrimLeft(t.b[start:], " \t\r\n")
	t.b = t.b[:start]
	return event.Value{Raw: text}, len(text) > 0
}

// str steps over a string whose escapes can be read.
func (t *tail) str() (event.Value, bool) {
	raw, ok := t.skip()
	v := event.Value{Raw: raw, String: true, Escaped: bytes.IndexByte(raw, '\\') >= 0}
	return v, ok && wellEscaped(v)
}

// skip steps over a string and returns what is between its quotes.
func (t *tail) skip() ([]byte, bool) {
	if !t.back('"') {
		return nil, false
	}
	for end := len(t.b); ; {
		at := bytes.LastIndexByte(t.b[:end], '"')
		if at < 0 {
			return nil, false
		}
		end = at
		for end > 0 && t.b[end-1] == '\\' {
			end--
		}
		if (at-end)%2 == 0 {
			raw := t.b[at+1:]
			t.b = t.b[:at]
			return raw, true
		}
	}
}

// wellEscaped tells whether the escapes of a string can be read.
func wellEscaped(v event.Value) bool {
	if !v.Escaped {
		return true
	}
	quoted := make([]byte, 0, len(v.Raw)+2)
	quoted = append(append(append(quoted, '"'), v.Raw...), '"')
	c := event.NewCursor(quoted)
	_, err := c.Value()
	return err == nil && c.End() == nil
}

// brackets steps over an object or an array.
func (t *tail) brackets() (event.Value, bool) {
	whole := t.b
	for depth := 0; len(t.b) > 0; {
		at := len(t.b) - 1
		switch t.b[at] {
		case '"':
			if _, ok := t.skip(); !ok {
				return event.Value{}, false
			}
			continue
		case '}', ']':
			depth++
		case '{', '[':
			depth--
		}
		t.b = t.b[:at]
		if depth == 0 {
			return event.Value{Raw: whole[at:]}, true
		}
	}
	return event.Value{}, false
}
