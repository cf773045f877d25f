package event

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// SyntaxError says where and why bytes are not the JSON that was expected.
type SyntaxError struct {
	// Offset is the index of the offending byte; the text's length at its end.
	Offset int
	// Reason is one short phrase for people.
	Reason string
	err    error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

func (e *SyntaxError) Unwrap() error { return e.err }

// scanner walks one JSON text. It checks the whole grammar of RFC 8259 but for
// two things that real osquery rows get wrong and that can be mended without
// loss: control bytes inside strings, which set control, and bytes that are no
// UTF-8, which the caller checks for. It allocates only to report an error.
type scanner struct {
	b []byte
	i int
	// control is set once a string held a raw control byte.
	control bool
	// escaped tells whether the string scanned last holds a backslash, escapes
	// whether any did.
	escaped, escapes bool
	// keyAt is where the member name that key read last begins, quote and all.
	keyAt int
	// watch, unless nil, is shown the names of members.
	watch func(name []byte)
}

func (s *scanner) fail(reason string) error {
	return &SyntaxError{Offset: s.i, Reason: reason}
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\n' || c == '\r') }

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// expect skips white space and steps over c.
func (s *scanner) expect(c byte, what string) error {
	if s.peek() != c {
		return s.fail("expected " + what)
	}
	s.i++
	return nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a mask whose lowest set bit marks the first byte of w that is
// a quote, a backslash or a control byte. A higher marked byte may be a false
// one (borrows run upwards); the lowest never is.
func special(w uint64) uint64 {
	q := w ^ (ones * '"')
	e := w ^ (ones * '\\')
	return ((w - ones*0x20) &^ w & highs) | ((q - ones) &^ q & highs) | ((e - ones) &^ e & highs)
}

// str steps over a string and returns the bytes between its quotes, escapes and
// all. The next byte must be its opening quote.
func (s *scanner) str() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("expected a string")
	}
	s.i++
	s.escaped = false
	start := s.i
	for {
		s.plain()
		if s.i >= len(s.b) {
			return nil, s.fail("unterminated string")
		}
		switch c := s.b[s.i]; { //nolint:staticcheck // a tagged switch reads worse with the default below
		case c == '"':
			s.i++
			return s.b[start : s.i-1], nil
		case c == '\\':
			s.escaped, s.escapes = true, true
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			s.control = s.control || c < 0x20
			s.i++
		}
	}
}

// plain steps over bytes that mean nothing in a string, eight at a time, to the
// first that may or to the last seven.
func (s *scanner) plain() {
	for s.i+8 <= len(s.b) {
		if m := special(binary.LittleEndian.Uint64(s.b[s.i:])); m != 0 {
			s.i += bits.TrailingZeros64(m) / 8
			return
		}
		s.i += 8
	}
}

// escape steps over a backslash and what it escapes.
func (s *scanner) escape() error {
	s.i++
	if s.i >= len(s.b) {
		return s.fail("unterminated string")
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return nil
	case 'u':
		if s.i+5 > len(s.b) {
			return s.fail("unterminated escape")
		}
		for _, c := range s.b[s.i+1 : s.i+5] {
			if !isHex(c) {
				return s.fail("escape is not hexadecimal")
			}
		}
		s.i += 5
		return nil
	}
	return s.fail("unknown escape")
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// value steps over any value and returns its bytes.
func (s *scanner) value() ([]byte, error) {
	c := s.peek()
	start := s.i
	var err error
	switch c {
	case '{', '[':
		err = s.composite()
	default:
		err = s.scalar(c)
	}
	if err != nil {
		return nil, err
	}
	return s.b[start:s.i], nil
}

func (s *scanner) scalar(c byte) error {
	switch {
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("expected a value")
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.fail("expected a value")
	}
	s.i += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return s.fail("number without digits")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return s.fail("number without digits after the point")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			return s.fail("number without digits in its exponent")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}
