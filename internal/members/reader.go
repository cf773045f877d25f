package members

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// errKind tells a member of another kind than is read.
var errKind = errors.New("a value of another kind")

// Reader walks one JSON value. Each of its readers steps over one, and an error ends
// the walk. null leaves what it would set as it is. It is for one goroutine.
type Reader struct {
	c    event.Cursor
	text []byte
}

// Read walks the object that is all of text, which must not change meanwhile, and calls
// each with the name of every member; each must read its value. Members that have one
// name are all shown.
func Read(text []byte, each func(r *Reader, name []byte) error) error {
	r := Reader{event.NewCursor(text), text}
	if err := r.Object(func(name []byte) error { return each(&r, name) }); err != nil {
		return err
	}
	switch err := r.c.End(); {
	case err != nil:
		return fmt.Errorf("after the object: %w", err)
	case r.c.Control():
		return errControl
	}
	return nil
}

var errControl = errors.New("a control byte in a string")

// Valid tells whether text is one JSON value.
func Valid(text []byte) bool {
	c := event.NewCursor(text)
	_, err := c.Value()
	return err == nil && c.End() == nil && !c.Control()
}

// Object reads an object. each must read the value of the member that it is called with.
func (r *Reader) Object(each func(name []byte) error) error {
	if r.c.Peek() == 'n' {
		return r.Skip()
	}
	return r.c.Object(each)
}

// List reads a list. each must read an element.
func (r *Reader) List(each func() error) error {
	if r.c.Peek() == 'n' {
		return r.Skip()
	}
	return r.c.Array(each)
}

// Skip reads whatever comes.
func (r *Reader) Skip() error {
	_, err := r.value()
	return err
}

func (r *Reader) value() (event.Value, error) {
	v, err := r.c.Value()
	if err != nil {
		return v, fmt.Errorf("a value: %w", err)
	}
	return v, nil
}

// Raw is the value's bytes, which are text's own.
func (r *Reader) Raw() ([]byte, error) {
	r.c.Peek()
	start := r.c.Offset()
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.text[start:r.c.Offset()], nil
}

// scalar reads a string, or what is none; null tells to leave what is there.
func (r *Reader) scalar(isString bool) (v event.Value, null bool, err error) {
	if v, err = r.value(); err != nil {
		return v, false, err
	}
	if null = !v.String && len(v.Raw) == 4 && v.Raw[0] == 'n'; !null && v.String != isString {
		err = errKind
	}
	return v, null, err
}

// Text reads a text of its own memory.
func (r *Reader) Text(into *string) error {
	v, null, err := r.scalar(true)
	if err == nil && !null {
		*into = v.Text()
	}
	return err
}

// Texts reads a list of texts behind those that are there.
func (r *Reader) Texts(into *[]string) error {
	return r.List(func() error {
		var text string
		if err := r.Text(&text); err != nil {
			return err
		}
		*into = append(*into, text)
		return nil
	})
}

// Moment reads a time of RFC 3339.
func (r *Reader) Moment(into *time.Time) error {
	v, null, err := r.scalar(true)
	if err != nil || null {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, v.Text())
	if err != nil {
		return fmt.Errorf("a time: %w", err)
	}
	*into = t
	return nil
}

// Number reads a whole number.
func (r *Reader) Number(into *int64) error {
	v, null, err := r.scalar(false)
	if err != nil || null {
		return err
	}
	n, ok := v.Int()
	if !ok {
		return errKind
	}
	*into = n
	return nil
}

// Small reads a whole number of 32 bits.
func (r *Reader) Small(into *int32) error {
	n := int64(*into)
	if err := r.Number(&n); err != nil {
		return err
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return errKind
	}
	*into = int32(n)
	return nil
}

// Amount reads a number that may have a fraction.
func (r *Reader) Amount(into *float64) error {
	v, null, err := r.scalar(false)
	if err != nil || null {
		return err
	}
	n, err := strconv.ParseFloat(string(v.Raw), 64)
	if err != nil {
		return errKind
	}
	*into = n
	return nil
}

// Truth reads true or false.
func (r *Reader) Truth(into *bool) error {
	v, null, err := r.scalar(false)
	if err != nil || null {
		return err
	}
	switch string(v.Raw) {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return errKind
	}
	return nil
}
