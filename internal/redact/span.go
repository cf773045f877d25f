package redact

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// span is a secret's place in a text, and the rule that found it.
type span struct{ start, end, rule int }

// finder appends the places of secrets in a text, without their rule.
type finder func(dst []span, text []byte) []span

// find returns the secrets in a text, in order and apart from each other. Those that
// overlap become one, of the rule that comes first: nothing that a rule found may
// stay. What is returned is valid until the next call.
func (w *walk) find(text []byte, on []int) []span {
	w.spans = w.spans[:0]
	for _, i := range on {
		w.spans = w.r.rules[i].append(w.spans, text, i, 0)
	}
	w.spans = union(w.spans)
	return w.spans
}

// append appends what the rule, which is the i-th, finds in a text that begins at
// offset.
func (r *rule) append(dst []span, text []byte, i, offset int) []span {
	found := len(dst)
	dst = r.find(dst, text)
	kept := dst[:found]
	for _, s := range dst[found:] {
		if s.start < s.end && !isMark(text[s.start:s.end]) {
			kept = append(kept, span{s.start + offset, s.end + offset, i})
		}
	}
	return kept
}

func union(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.rule, b.rule)) })
	kept := spans[:1]
	for _, s := range spans[1:] {
		last := &kept[len(kept)-1]
		if s.start >= last.end {
			kept = append(kept, s)
			continue
		}
		last.end, last.rule = max(last.end, s.end), min(last.rule, s.rule)
	}
	return kept
}

// isMark tells whether a text is the mark of an earlier pass.
func isMark(text []byte) bool {
	inside, ok := bytes.CutPrefix(text, []byte("[redacted:"))
	digest := len(inside) - len(":0123456789ab]")
	return ok && digest >= 0 && inside[digest] == ':' && inside[len(inside)-1] == ']' && bytes.IndexByte(inside, ' ') < 0
}

// raw looks through a payload that is no JSON: the expressions at the whole, and
// every rule at each piece between two quotes.
func (w *walk) raw() {
	w.spans = w.spans[:0]
	for _, i := range w.active {
		if w.r.rules[i].whole {
			w.spans = w.r.rules[i].append(w.spans, w.payload, i, 0)
		}
	}
	for at := 0; at < len(w.payload); {
		end := at + unquoted(w.payload[at:])
		for _, i := range w.active {
			w.spans = w.r.rules[i].append(w.spans, w.payload[at:end], i, at)
		}
		at = end + 1
	}
	w.spans = union(w.spans)
	for _, s := range w.spans {
		w.edits = append(w.edits, edit{s.start, s.end, w.r.mark(s.rule, w.payload[s.start:s.end])})
	}
}

// unquoted is the index of the first quote that no backslash stands before, or the
// text's length.
func unquoted(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(text)
}

// escapes finds the place in the inside of a JSON string of a place in its text.
// Places are asked for in order.
type escapes struct {
	raw      []byte
	plain    bool // nothing is escaped
	at, text int  // the same place in both
}

// seek returns where the byte with index text of the string's text is written. One
// that is written together with others is taken with them: before them, or behind
// them where up is set.
func (e *escapes) seek(text int, up bool) int {
	if e.plain {
		return text
	}
	for e.text < text {
		written, stands := escape(e.raw[e.at:])
		if e.text+stands > text && !up {
			break
		}
		e.at, e.text = e.at+written, e.text+stands
	}
	return e.at
}

// escape returns how many bytes the first character or byte of a string's inside
// takes, and how many bytes of text it stands for.
func escape(raw []byte) (written, stands int) {
	switch {
	case raw[0] != '\\':
		return 1, 1
	case raw[1] != 'u':
		return 2, 1
	}
	written = 6
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' && isPair(raw) {
		written = 12
	}
	var text [utf8.UTFMax]byte
	return written, len(event.Value{Raw: raw[:written], String: true, Escaped: true}.AppendText(text[:0]))
}

// isPair tells whether two escapes are the halves of one character.
func isPair(raw []byte) bool {
	return raw[2]|0x20 == 'd' && bytes.IndexByte([]byte("89abAB"), raw[3]) >= 0 &&
		raw[8]|0x20 == 'd' && bytes.IndexByte([]byte("cdefCDEF"), raw[9]) >= 0
}
