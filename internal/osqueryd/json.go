package osqueryd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// textForm is what osquery does to a text column before it writes JSON.
type textForm func(string) string

// plainText is the form of snapshots: nothing is done.
func plainText(s string) string { return s }

// escapeText is the form of differential results: what can not be printed becomes
// a visible \xNN, of which JSON then doubles the backslash. Valid UTF-8 passes.
func escapeText(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if unprintable(r) && size == 1 {
			fmt.Fprintf(&b, `\x%02X`, s[i])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// unprintable tells control characters, and what decoding makes of bytes that are
// no UTF-8.
func unprintable(r rune) bool { return r < 0x20 || r == 0x7f || r == utf8.RuneError }

// appendString writes a JSON string as rapidjson does: only what JSON demands is
// escaped, and bytes that are no UTF-8 are written as they are.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		default:
			b = appendControl(b, c)
		}
	}
	return append(b, '"')
}

// appendControl escapes a control character.
func appendControl(b []byte, c byte) []byte {
	if short := strings.IndexByte("\b\f\n\r\t", c); short >= 0 {
		return append(b, '\\', "bfnrt"[short])
	}
	return fmt.Appendf(b, `\u%04X`, c)
}

// appendObject writes a JSON object, its keys in order as in a std::map.
func appendObject[V any](b []byte, members map[string]V, value func([]byte, V) []byte) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = value(b, members[key])
	}
	return append(b, '}')
}

// formatDouble writes a number that does not read back as an integer.
func formatDouble(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if strings.ContainsAny(s, ".eIN") {
		return s
	}
	return s + ".0"
}
