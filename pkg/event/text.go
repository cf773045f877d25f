package event

import (
	"bytes"
	"encoding/base64"
	"math/bits"
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
		r, size := unescapeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[size:]
	}
}

// unescapeRune reads what follows the backslash of a \u escape, and the escape
// after it where both are halves of one character.
func unescapeRune(s []byte) (r rune, size int) {
	r = hex4(s[1:])
	if !utf16.IsSurrogate(r) {
		return r, 5
	}
	if len(s) >= 11 && s[5] == '\\' && s[6] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(s[7:])); pair != utf8.RuneError {
			return pair, 11
		}
	}
	return utf8.RuneError, 5
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
		r = r<<4 | hexDigit(c)
	}
	return r
}

func hexDigit(c byte) rune {
	switch {
	case c <= '9':
		return rune(c - '0')
	case c <= 'F':
		return rune(c - 'A' + 10)
	}
	return rune(c - 'a' + 10)
}

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string, quotes included. Control bytes
// and the two that JSON reserves are escaped; bytes that are no UTF-8 become
// the replacement character, since JSON has no room for them.
func AppendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		if i = ordinary(text, i); i == len(text) {
			break
		}
		c, size := text[i], 1
		switch {
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
		case c < 0x20 || c == '"' || c == '\\':
			dst = appendEscape(append(dst, text[start:i]...), c)
			start = i + 1
		}
		i += size
	}
	return append(append(dst, text[start:]...), '"')
}

// ordinary steps from i over characters that stand in a JSON string as they are,
// eight at a time, to the first that may not or into the last seven.
func ordinary(text string, i int) int {
	for ; i+8 <= len(text); i += 8 {
		t := text[i : i+8]
		w := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		if m := special(w) | w&highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	return i
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

// AppendMended appends the JSON object with the bytes in its strings that JSON
// does not allow mended. If that changed anything, two last members say so:
// `"escaped":true`, and `raw` with the original object in base64. The object
// must be one that Row.Parse has read, without white space around it.
func AppendMended(dst, object []byte) []byte {
	start := len(dst)
	return mend(append(dst, object...), start)
}

// mend makes the object dst[start:] hold only bytes that JSON allows.
func mend(dst []byte, start int) []byte {
	original := bytes.Clone(dst[start:])
	dst = appendAllowed(dst[:start], original)
	if len(dst)-start == len(original) { // mending only ever lengthens
		return dst
	}
	dst = append(reopen(dst), `"escaped":true,"raw":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, original), '"', '}')
}

// appendAllowed appends a JSON text whose strings may hold bytes that JSON does
// not allow: a control byte becomes its escape, which stands for the same text,
// and a byte that is no UTF-8 becomes the text \xNN, as osquery itself writes it
// in differential results. The second is readable but ambiguous, so the caller
// keeps the original beside it.
func appendAllowed(dst, text []byte) []byte {
	inString := false
	for i := 0; i < len(text); {
		c, size := text[i], 1
		switch {
		case c == '\\' && inString:
			size = 2 // the scanner has seen what is escaped
			dst = append(dst, text[i:i+size]...)
		case c < 0x20 && inString:
			dst = appendEscape(dst, c)
		case c >= utf8.RuneSelf:
			dst, size = appendRune(dst, text[i:])
		default:
			inString = inString != (c == '"')
			dst = append(dst, c)
		}
		i += size
	}
	return dst
}

// appendRune appends the character that text begins with, or \xNN where it
// begins with none, and returns how many bytes of text that took.
func appendRune(dst, text []byte) (_ []byte, size int) {
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size == 1 {
		return append(dst, '\\', '\\', 'x', hexDigits[text[0]>>4], hexDigits[text[0]&15]), 1
	}
	return append(dst, text[:size]...), size
}
