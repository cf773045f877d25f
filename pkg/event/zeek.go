package event

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// zeekHeader is what the lines that begin with # in a log of Zeek's own format
// say of those below (Zeek's manual, "Log Formats").
type zeekHeader struct {
	separator, setSeparator []byte
	empty, unset            []byte
	path                    string
	fields                  []string
	types                   []string
}

// directive takes a line that begins with #. One it does not know means nothing.
func (h *zeekHeader) directive(line []byte) error {
	if rest, ok := bytes.CutPrefix(line, []byte("#separator ")); ok { // a new header begins
		*h = zeekHeader{separator: unescapeHex(nil, rest), setSeparator: []byte(","), empty: []byte("(empty)"), unset: []byte("-")}
		return nil
	}
	if len(h.separator) == 0 {
		return fmt.Errorf("%.20q before #separator: %w", line, ErrNoRecord)
	}
	name, rest, _ := bytes.Cut(line, h.separator)
	switch string(name) {
	case "#set_separator":
		h.setSeparator = bytes.Clone(rest)
	case "#empty_field":
		h.empty = bytes.Clone(rest)
	case "#unset_field":
		h.unset = bytes.Clone(rest)
	case "#path":
		h.path = string(rest)
	case "#fields":
		h.fields, h.types = strings.Split(string(rest), string(h.separator)), nil
	case "#types":
		return h.setTypes(strings.Split(string(rest), string(h.separator)))
	}
	return nil
}

func (h *zeekHeader) setTypes(types []string) error {
	if len(types) != len(h.fields) {
		return fmt.Errorf("%d of %d: %w", len(types), len(h.fields), ErrZeekTypes)
	}
	h.types = types
	return nil
}

// fits tells whether a line has as many values as the header names. A header of
// one name tells nothing.
func (h *zeekHeader) fits(line []byte) bool {
	return len(h.fields) > 1 && bytes.Count(line, h.separator)+1 == len(h.fields)
}

// appendRecord appends the JSON object that a line of values stands for. Fields
// that are not set are left out, as Zeek's JSON writer does.
func (h *zeekHeader) appendRecord(dst, line []byte) ([]byte, error) {
	if len(h.fields) == 0 || len(h.types) == 0 {
		return dst, ErrNoRecord
	}
	if n := bytes.Count(line, h.separator) + 1; n != len(h.fields) {
		return dst, fmt.Errorf("%d of %d: %w", n, len(h.fields), ErrZeekLine)
	}
	dst = AppendString(append(dst, `{"_path":`...), h.path)
	i := 0
	for value := range bytes.SplitSeq(line, h.separator) {
		if !bytes.Equal(value, h.unset) {
			dst = append(AppendString(append(dst, ','), h.fields[i]), ':')
			dst = h.appendValue(dst, value, h.types[i])
		}
		i++
	}
	return append(dst, '}'), nil
}

func (h *zeekHeader) appendValue(dst, value []byte, zeekType string) []byte {
	container, element, _ := strings.Cut(strings.TrimSuffix(zeekType, "]"), "[")
	switch container {
	case "set", "vector", "table":
		return h.appendList(dst, value, element)
	}
	if bytes.Equal(value, h.empty) {
		value = nil
	}
	return appendAtom(dst, value, zeekType)
}

func (h *zeekHeader) appendList(dst, value []byte, element string) []byte {
	dst = append(dst, '[')
	if !bytes.Equal(value, h.empty) && len(h.setSeparator) > 0 {
		for item := range bytes.SplitSeq(value, h.setSeparator) {
			dst = append(appendAtom(dst, item, element), ',')
		}
		dst = dst[:len(dst)-1]
	}
	return append(dst, ']')
}

// appendAtom appends one value. What is not written as its type wants stays text:
// nothing is lost to a header that is wrong.
func appendAtom(dst, value []byte, zeekType string) []byte {
	switch zeekType {
	case "bool":
		if len(value) == 1 && (value[0] == 'T' || value[0] == 'F') {
			return append(dst, map[byte]string{'T': "true", 'F': "false"}[value[0]]...)
		}
	case "time", "interval", "double", "count", "int", "port":
		if isNumber(value) {
			return append(dst, value...)
		}
	}
	plain := unescapeHex(nil, value)
	if !utf8.Valid(plain) { // no text: Zeek's escapes stand for it
		plain = escapeInvalid(nil, value)
	}
	return AppendString(dst, string(plain))
}

// escapeInvalid appends text with \xNN for each byte that is no UTF-8.
func escapeInvalid(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, '\\', 'x', hexDigits[text[0]>>4], hexDigits[text[0]&15])
		} else {
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	return dst
}

func isNumber(text []byte) bool {
	s := scanner{b: text}
	return len(text) > 0 && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && s.number() == nil && s.i == len(text)
}

// unescapeHex appends text with Zeek's \xNN replaced by the byte it stands for.
func unescapeHex(dst, text []byte) []byte {
	for {
		i := bytes.Index(text, []byte(`\x`))
		switch {
		case i < 0:
			return append(dst, text...)
		case len(text) >= i+4 && isHex(text[i+2]) && isHex(text[i+3]):
			dst = append(append(dst, text[:i]...), byte(hexDigit(text[i+2])<<4|hexDigit(text[i+3])))
			text = text[i+4:]
		default:
			dst, text = append(dst, text[:i+2]...), text[i+2:]
		}
	}
}
