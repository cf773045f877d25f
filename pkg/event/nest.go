package event

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// maxDepth bounds nesting. osquery's rows are three deep; the bound keeps a
// hostile row from costing more than its length.
const maxDepth = 512

// ErrDepth is wrapped by the SyntaxError of a document that nests deeper than
// this package follows.
var ErrDepth = errors.New("nested too deeply")

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

// flat steps over an object as osquery writes rows: names, texts and whole
// numbers, without white space, escapes or anything inside one another. It is
// composite for nearly every row, at half its cost. Where it meets anything else
// it returns false and has moved nothing.
func (s *scanner) flat() bool {
	b, i := s.b, s.i
	if i+1 >= len(b) || b[i] != '{' || b[i+1] != '"' {
		return false
	}
	for i++; ; i++ { // at the quote of a name
		start := i + 1
		if i = closingQuote(b, i); i+2 >= len(b) || b[i+1] != ':' {
			return false
		}
		if s.watch != nil {
			s.watch(b[start:i])
		}
		if i += 2; b[i] == '"' {
			if i = closingQuote(b, i); i+1 >= len(b) {
				return false
			}
			i++
		} else if i = afterDigits(b, i); i >= len(b) {
			return false
		}
		if b[i] == '}' {
			s.i = i + 1
			return true
		}
		if b[i] != ',' || i+1 >= len(b) || b[i+1] != '"' {
			return false
		}
	}
}

// closingQuote returns the index of the quote that ends the string that begins at
// i, or one past the text's end when that cannot be said at a glance.
func closingQuote(b []byte, i int) int {
	for i++; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			if i += bits.TrailingZeros64(m) / 8; b[i] == '"' {
				return i
			}
			break
		}
	}
	return len(b)
}

// afterDigits returns the index behind the whole number at i, or one past the
// text's end when there is none at a glance.
func afterDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start || i-start > 1 && b[start] == '0' {
		return len(b)
	}
	return i
}

// composite steps over an object or an array.
func (s *scanner) composite() error {
	if s.flat() {
		return nil
	}
	return s.nested()
}

// nested is composite for whatever an object or an array may hold.
func (s *scanner) nested() error {
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
		_, err = s.name()
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
				_, err = s.name()
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

// name steps over a member's name and its colon and returns the bytes between
// the name's quotes.
func (s *scanner) name() ([]byte, error) {
	name, err := s.str()
	if err != nil {
		return nil, err
	}
	if s.watch != nil {
		s.watch(name)
	}
	return name, s.expect(':', "a colon")
}

// key is name for those who look at it: it returns the name's text, which is new
// bytes where the name has escapes, and notes where the member begins.
func (s *scanner) key() ([]byte, error) {
	s.space()
	s.keyAt = s.i
	name, err := s.name()
	if err == nil && s.escaped {
		name = appendUnescaped(nil, name)
	}
	return name, err
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
