package event

import (
	"bytes"
	"time"
)

// TimeUnit says how a column tells a time.
type TimeUnit uint8

// The ways tables and sensors tell times. All count from 1970 in UTC but
// FileTime.
const (
	Seconds      TimeUnit = iota // with or without a fraction
	Milliseconds                 // whole
	Microseconds
	Nanoseconds
	FileTime // hundreds of nanoseconds since 1601, as Windows counts
	RFC3339  // text; a zone without a colon is read too
)

// TimeUnitNames are the units as a configuration names them, in their order.
func TimeUnitNames() []string {
	return []string{"seconds", "milliseconds", "microseconds", "nanoseconds", "filetime", "rfc3339"}
}

// TimeUnitNamed returns the unit of a name that TimeUnitNames has.
func TimeUnitNamed(name string) (TimeUnit, bool) {
	for i, known := range TimeUnitNames() {
		if known == name {
			return TimeUnit(i), true
		}
	}
	return 0, false
}

// fileTimeEpoch is 1970 in Windows' count.
const fileTimeEpoch = 116_444_736_000_000_000

// timeColumn is a column that tells when, and how.
type timeColumn struct {
	name string
	unit TimeUnit
}

// Time is when the row's event happened by the first of the table's time columns
// that holds a time; ok is false where none does. Whether that time can be
// believed is for the caller to judge.
func (l *Lens) Time(r *Row) (t time.Time, ok bool) {
	for _, c := range l.times {
		if v, has := r.Column(c.name); has && !v.Empty() {
			if t, ok = v.Time(c.unit); ok {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// Time reads a time of the given unit, written as a number or as text, in UTC. ok
// is false for what is none, and for 1970 and before: a clock that was not set.
func (v Value) Time(unit TimeUnit) (t time.Time, ok bool) {
	if unit == RFC3339 {
		t, ok = v.written()
	} else {
		t, ok = v.counted(unit)
	}
	if !ok || t.Unix() <= 0 || t.Unix() > 1<<36 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

func (v Value) counted(unit TimeUnit) (time.Time, bool) {
	if unit == Seconds {
		return v.seconds()
	}
	n, ok := v.Int()
	switch unit {
	case Milliseconds:
		return time.UnixMilli(n), ok
	case Microseconds:
		return time.UnixMicro(n), ok
	case Nanoseconds:
		return time.Unix(0, n), ok
	}
	n -= fileTimeEpoch
	return time.Unix(n/1e7, n%1e7*100), ok && n > 0
}

// seconds reads seconds with a fraction without a float's error: two events of a
// microsecond apart stay apart.
func (v Value) seconds() (time.Time, bool) {
	whole, fraction, _ := bytes.Cut(v.Raw, []byte{'.'})
	n, ok := Value{Raw: whole}.Int()
	if len(fraction) > 9 {
		fraction = fraction[:9]
	}
	var nanos int64
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		nanos = nanos*10 + int64(c-'0')
	}
	for range 9 - len(fraction) {
		nanos *= 10
	}
	return time.Unix(n, nanos), ok && n < 1<<40
}

// written reads a time as text. Suricata writes its zone without a colon.
func (v Value) written() (time.Time, bool) {
	if v.Escaped || len(v.Raw) > 40 {
		return time.Time{}, false
	}
	text := v.Raw
	if n := len(text); n > 5 && (text[n-5] == '+' || text[n-5] == '-') && text[n-3] != ':' {
		var buf [48]byte
		text = append(append(append(buf[:0], text[:n-2]...), ':'), text[n-2:]...)
	}
	var t time.Time
	err := t.UnmarshalText(text)
	return t, err == nil
}
