// Package compact writes and reads the values that operators keep in their State:
// numbers as varints, texts with their length, times to the nanosecond.
//
// It must never know what a value means, nor trust one: what is read may be cut short
// or come from another program.
package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrShort tells that a value ends before all that it should hold.
var ErrShort = errors.New("value cut short")

// Number appends n.
func Number(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

// Signed appends n, which may be negative.
func Signed(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

// Text appends s with its length.
func Text(b []byte, s string) []byte { return append(Number(b, uint64(len(s))), s...) }

// Truth appends v as a byte.
func Truth(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Time appends t, of which the zone is lost. The zero time stays what it is; the
// first second of 1970 becomes it.
func Time(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0, 0)
	}
	return Number(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

// Reader takes a value apart, in the order in which it was written. Its first error
// stays, and what is read after that is zero. It is for one goroutine.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of value, which must not change while it is in use.
func NewReader(value []byte) *Reader { return &Reader{b: value} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// Fail sets the error, where there is none yet.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// Rest is how many bytes are left.
func (r *Reader) Rest() int { return len(r.b) }

// Format reads the number that a value begins with, and fails where it is another.
func (r *Reader) Format(want uint64) {
	if v := r.Number(); v != want {
		r.Fail(fmt.Errorf("format %d, this version reads %d", v, want))
	}
}

// Formats reads the number that a value begins with, and fails where it is not from
// oldest to newest.
func (r *Reader) Formats(oldest, newest uint64) uint64 {
	v := r.Number()
	if v < oldest || v > newest {
		r.Fail(fmt.Errorf("format %d, this version reads %d to %d", v, oldest, newest))
	}
	return v
}

// step goes on by size bytes, and tells whether they are there.
func (r *Reader) step(size int) bool {
	if size <= 0 || size > len(r.b) {
		r.Fail(ErrShort)
		return false
	}
	r.b = r.b[size:]
	return true
}

// Number reads what Number wrote.
func (r *Reader) Number() uint64 {
	n, size := binary.Uvarint(r.b)
	if !r.step(size) {
		return 0
	}
	return n
}

// Signed reads what Signed wrote.
func (r *Reader) Signed() int64 {
	n, size := binary.Varint(r.b)
	if !r.step(size) {
		return 0
	}
	return n
}

// Length reads a number of things of at least a byte each.
func (r *Reader) Length() int {
	n := r.Number()
	if n > uint64(len(r.b)) {
		r.Fail(ErrShort)
		return 0
	}
	return int(n)
}

// Text reads what Text wrote, in memory of its own.
func (r *Reader) Text() string {
	n := r.Length()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.Fail(ErrShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// Truth reads what Truth wrote.
func (r *Reader) Truth() bool { return r.Byte() == 1 }

// Time reads what Time wrote, in UTC.
func (r *Reader) Time() time.Time {
	seconds, size := binary.Varint(r.b)
	if !r.step(size) {
		return time.Time{}
	}
	nanos := r.Number()
	if seconds == 0 && nanos == 0 || r.err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, int64(min(nanos, 999_999_999))).UTC()
}
