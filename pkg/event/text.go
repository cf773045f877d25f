package event

import (
	"bytes"
	"encoding/base64"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUnescaped appends the text that the inside of a JSON string stands for.
// Lone surrogates become U+FFFD, as in encoding/json. The scanner has checked
// the escapes.
func appendUnescaped(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		s = s[i+1:]
		if s[0] != 'u' {
			dst = append(dst, unescapeByte(s[0]))
			s = s[1:]
			continue
		}
		r := hex4(s[1:])
		s = s[5:]
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
				low = hex4(s[2:])
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				s = s[6:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(s []byte) (r rune) {
	for _, c := range s[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		case c <= 'F':
			r |= rune(c - 'A' + 10)
		default:
			r |= rune(c - 'a' + 10)
		}
	}
	return r
}

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string, quotes included. Control bytes
// and the two that JSON reserves are escaped; bytes that are no UTF-8 become
// the replacement character, since JSON has no room for them.
func AppendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c < 0x20 || c == '"' || c == '\\' {
			dst = appendEscape(append(dst, text[start:i]...), c)
			start = i + 1
		}
		i++
	}
	return append(append(dst, text[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendMended appends a JSON text whose strings hold bytes that JSON does not
// allow: a control byte becomes its \u00NN escape, which stands for the same
// text, and a byte that is no UTF-8 becomes the text \xNN, as osquery itself
// writes it in differential results. The second is readable but ambiguous, so
// the caller keeps the original beside it.
func appendMended(dst, text []byte) []byte {
	inString := false
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\\' && inString && i+1 < len(text):
			dst = append(dst, c, text[i+1])
			i += 2
			continue
		case c == '"':
			inString = !inString
			dst = append(dst, c)
		case c < 0x20 && inString:
			dst = appendEscape(dst, c)
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
				i++
				continue
			}
			dst = append(dst, text[i:i+size]...)
			i += size
			continue
		}
		i++
	}
	return dst
}

// appendBase64 appends b in standard base64 as a JSON string.
func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}
