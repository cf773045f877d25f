package event

import (
	"bytes"
	"math"
)

// Value is one JSON value of a row, as bytes of the row itself.
type Value struct {
	// Raw is the inside of a string, escapes and all, or the literal.
	Raw []byte
	// String tells a string from a number, a boolean or null.
	String bool
	// Escaped tells that Raw is a string with a backslash in it.
	Escaped bool
}

// AppendText appends the text the value stands for: a string's own, a number's
// digits, and nothing for null.
func (v Value) AppendText(dst []byte) []byte {
	switch {
	case v.Escaped:
		return appendUnescaped(dst, v.Raw)
	case v.null():
		return dst
	}
	return append(dst, v.Raw...)
}

// Text returns the text the value stands for in memory of its own.
func (v Value) Text() string {
	switch {
	case v.Escaped:
		return string(appendUnescaped(nil, v.Raw))
	case v.null():
		return ""
	}
	return string(v.Raw)
}

func (v Value) null() bool { return !v.String && string(v.Raw) == "null" }

// Int reads a decimal whole number, written as one or as a string: osquery
// writes column values as strings unless told otherwise, and the AWS loggers
// turn every number into one. ok is false for anything else and for what int64
// cannot hold. strconv does the same, but allocates an error for every column
// that is empty.
func (v Value) Int() (n int64, ok bool) {
	digits, negative := bytes.CutPrefix(v.Raw, []byte("-"))
	for _, c := range digits { // n runs below zero, where int64 has room for one more
		d := int64(c) - '0'
		if d < 0 || d > 9 || n < (math.MinInt64+d)/10 {
			return 0, false
		}
		n = n*10 - d
	}
	switch {
	case len(digits) == 0, !negative && n == math.MinInt64:
		return 0, false
	case negative:
		return n, true
	}
	return -n, true
}

// parseUint reads decimal digits.
func parseUint(digits []byte) (n uint64, ok bool) {
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(digits) > 0
}

// Empty tells whether the value says nothing: "", null or absent.
func (v Value) Empty() bool {
	return len(v.Raw) == 0 || v.null()
}

// ExitStatus reads an exit or return code. osquery's eBPF tables write a negative
// one as the unsigned number of the same 64 bits: 18446744073709551501 is -115.
func (v Value) ExitStatus() (n int64, ok bool) {
	if n, ok = v.Int(); ok {
		return n, true
	}
	u, ok := parseUint(v.Raw)
	return int64(u), ok
}
