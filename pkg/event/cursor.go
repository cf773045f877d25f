package event

// Cursor walks one JSON text in place, for those who look for a few members or
// change some of them. It checks the grammar of what it steps over; control bytes
// and bytes that are no UTF-8 may stand in strings, as they do in osquery's own
// text. It allocates only for names with escapes and to report an error, which is
// a *SyntaxError. It is for one goroutine.
type Cursor struct{ s scanner }

// NewCursor returns a cursor at the beginning of text, which must not change while
// the cursor or anything that it returned is in use.
func NewCursor(text []byte) Cursor { return Cursor{scanner{b: text}} }

// Peek skips white space and returns the byte after it, or 0 at the end.
func (c *Cursor) Peek() byte { return c.s.peek() }

// Offset is the index of the next byte.
func (c *Cursor) Offset() int { return c.s.i }

// Value steps over any value.
func (c *Cursor) Value() (Value, error) { return c.s.any() }

// Object steps over an object and calls each with the name of every member and the
// cursor at its value, which each must step over. The error of each ends the walk.
func (c *Cursor) Object(each func(name []byte) error) error { return c.s.object(each) }

// Array steps over an array and calls each with the cursor at every element, which
// each must step over. The error of each ends the walk.
func (c *Cursor) Array(each func() error) error { return c.s.array(each) }

// End is an error where anything but white space follows.
func (c *Cursor) End() error { return c.s.end() }

// Watch has each called with the name of every member that is stepped over, at any
// depth, with its escapes if it has any. A name may be shown twice.
func (c *Cursor) Watch(each func(name []byte)) { c.s.watch = each }

// Escapes tells that a string that was stepped over, or a name, holds a backslash.
func (c *Cursor) Escapes() bool { return c.s.escapes }

// Control tells that a string that was stepped over holds a control byte, which JSON
// does not allow.
func (c *Cursor) Control() bool { return c.s.control }
