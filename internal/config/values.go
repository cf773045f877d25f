package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes. Its text is a whole number with an optional binary unit:
// B, KiB, MiB, GiB or TiB, as in "64KiB". It is never negative.
type Bytes int64

// byteUnit is one suffix of a size and its power of two.
type byteUnit struct {
	suffix string
	shift  uint
}

// byteUnits lists the units, largest first; the bare B is last, since every other ends in it.
func byteUnits() [5]byteUnit {
	return [...]byteUnit{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}
}

// ParseBytes reads a size such as "64KiB", "1 GiB" or "4096". Decimal units (kB, MB),
// fractions, signs and sizes beyond 8EiB are errors.
func ParseBytes(text string) (Bytes, error) {
	digits, shift := strings.TrimSpace(text), uint(0)
	for _, unit := range byteUnits() {
		if number, found := strings.CutSuffix(digits, unit.suffix); found {
			digits, shift = strings.TrimRight(number, " "), unit.shift
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is not a size such as 64KiB or 1GiB", text)
	}
	return Bytes(n << shift), nil
}

// String returns the size in the largest unit that divides it, or the plain number.
// ParseBytes reads it back to the same value.
func (b Bytes) String() string {
	for _, unit := range byteUnits() {
		if unit.shift > 0 && b > 0 && b%(1<<unit.shift) == 0 {
			return strconv.FormatInt(int64(b>>unit.shift), 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText returns the text of String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads the text as ParseBytes does.
func (b *Bytes) UnmarshalText(text []byte) error {
	parsed, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = parsed
	return nil
}

// Duration is a span of time as time.ParseDuration reads it ("2m", "1h30m", "250ms").
// A number without a unit is an error, but for 0. It is never negative.
type Duration time.Duration

// ParseDuration reads a duration such as "2m".
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 30s or 2h", text)
	}
	return Duration(d), nil
}

// Std returns the value as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the duration without trailing zero units ("2m", not "2m0s").
// ParseDuration reads it back to the same value.
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText returns the text of String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text as ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
