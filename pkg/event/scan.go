package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// maxDepth bounds nesting. osquery's rows are three deep; the bound keeps a
// hostile row from costing more than its length.
const maxDepth = 512

// ErrDepth is wrapped by the SyntaxError of a document that nests deeper than
// this package follows.
var ErrDepth = errors.New("nested too deeply")

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
	// escaped tells whether the string scanned last holds a backslash.
	escaped bool
	// keyAt is where the member name that key read last begins, quote and all.
	keyAt int
}

func (s *scanner) fail(reason string) error {
	return &SyntaxError{Offset: s.i, Reason: reason}
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

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
		for s.i+8 <= len(s.b) {
			m := special(binary.LittleEndian.Uint64(s.b[s.i:]))
			if m == 0 {
				s.i += 8
				continue
			}
			s.i += bits.TrailingZeros64(m) / 8
			break
		}
		if s.i >= len(s.b) {
			return nil, s.fail("unterminated string")
		}
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], nil
		case c == '\\':
			s.escaped = true
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			s.control = s.control || c < 0x20
			s.i++
		}
	}
}

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

// brackets is the stack of open brackets of one composite value, a bit each, so
// that stepping over it neither recurses nor allocates.
type brackets struct {
	objects [maxDepth / 64]uint64
	depth   int
}

func (b *brackets) push(object bool) {
	word, bit := b.depth/64, uint64(1)<<(b.depth%64)
	b.objects[word] &^= bit
	if object {
		b.objects[word] |= bit
	}
	b.depth++
}

func (b *brackets) inObject() bool {
	top := b.depth - 1
	return b.objects[top/64]&(1<<(top%64)) != 0
}

// composite steps over an object or an array.
func (s *scanner) composite() error {
	var open brackets
	for {
		c := s.peek()
		if c != '{' && c != '[' {
			if err := s.scalar(c); err != nil {
				return err
			}
		} else if empty, err := s.open(&open, c); err != nil {
			return err
		} else if !empty {
			continue
		}
		if done, err := s.afterValue(&open); done || err != nil {
			return err
		}
	}
}

// open steps into a bracket, and over the first key of an object. An empty
// bracket is stepped over whole.
func (s *scanner) open(open *brackets, c byte) (empty bool, err error) {
	s.i++
	if s.peek() == c+2 { // in ASCII '}' is '{'+2 and ']' is '['+2
		s.i++
		return true, nil
	}
	if open.depth == maxDepth {
		return false, &SyntaxError{Offset: s.i, Reason: ErrDepth.Error(), err: ErrDepth}
	}
	open.push(c == '{')
	if c == '{' {
		_, err = s.key()
	}
	return false, err
}

// afterValue closes the brackets that end here and steps to the next value; it
// is done when the outermost bracket has closed.
func (s *scanner) afterValue(open *brackets) (done bool, err error) {
	for open.depth > 0 {
		object := open.inObject()
		switch c := s.peek(); {
		case c == ',':
			s.i++
			if object {
				_, err = s.key()
			}
			return false, err
		case c == '}' && object, c == ']' && !object:
			s.i++
			open.depth--
		default:
			return false, s.fail("expected a comma or a closing bracket")
		}
	}
	return true, nil
}

// key steps over a member's name and its colon and returns the name's bytes.
func (s *scanner) key() ([]byte, error) {
	s.space()
	s.keyAt = s.i
	name, err := s.str()
	if err != nil {
		return nil, err
	}
	return name, s.expect(':', "a colon")
}

// object calls each with every member's name and with the scanner at its
// value, which each must step over.
func (s *scanner) object(each func(key []byte) error) error {
	if err := s.expect('{', "an object"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := each(key); err != nil {
			return err
		}
		if s.peek() == '}' {
			s.i++
			return nil
		}
		if err := s.expect(',', "a comma or a closing brace"); err != nil {
			return err
		}
	}
}

// array calls each with the scanner at every element, which each must step over.
func (s *scanner) array(each func() error) error {
	if err := s.expect('[', "an array"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.peek() == ']' {
			s.i++
			return nil
		}
		if err := s.expect(',', "a comma or a closing bracket"); err != nil {
			return err
		}
	}
}

// end checks that nothing but white space follows.
func (s *scanner) end() error {
	if s.peek(); s.i != len(s.b) {
		return s.fail("text after the value")
	}
	return nil
}
