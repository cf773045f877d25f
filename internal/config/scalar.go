package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// errText is the only thing said of a text that does not fit: the caller knows what is
// expected, and the text itself may be a variable's value.
var errText = errors.New("text does not fit the type")

// setText stores the value that the text stands for.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if u.UnmarshalText([]byte(text)) != nil {
			return errText
		}
		return nil
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return nil
	case v.Kind() == reflect.Bool:
		return setBool(v, text)
	case v.CanInt():
		return setInt(v, text)
	case v.CanUint():
		return setUint(v, text)
	}
	return setFloat(v, text)
}

func setBool(v reflect.Value, text string) error {
	if text != "true" && text != "false" {
		return errText
	}
	v.SetBool(text == "true")
	return nil
}

func setInt(v reflect.Value, text string) error {
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil || octal(text) {
		return errText
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, text string) error {
	n, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if err != nil || octal(text) {
		return errText
	}
	v.SetUint(n)
	return nil
}

// octal says whether a number starts with a 0 that older YAML readers take for base 8.
func octal(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0'
}

func setFloat(v reflect.Value, text string) error {
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return errText
	}
	v.SetFloat(f)
	return nil
}

// expected says what text a scalar takes.
func (s shape) expected() string {
	switch s.typ {
	case reflect.TypeFor[Bytes]():
		return "a size such as 64KiB or 1GiB"
	case reflect.TypeFor[Duration]():
		return "a duration such as 500ms, 30s or 2h"
	}
	switch k := s.typ.Kind(); {
	case isText(s.typ):
		return s.typ.String()
	case k == reflect.String:
		return "text"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	}
	return "a whole number" + bounds(s.typ)
}

// isText says whether the type reads its own text and is none of this package's.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) &&
		t != reflect.TypeFor[Secret]()
}

// bounds names the limits of a number type that is narrower than 64 bits or unsigned.
func bounds(t reflect.Type) string {
	signed := t.Kind() <= reflect.Int64
	switch bits := t.Bits(); {
	case !signed && bits == 64:
		return " from 0"
	case !signed:
		return fmt.Sprintf(" from 0 to %d", uint64(1)<<bits-1)
	case bits < 64:
		return fmt.Sprintf(" from %d to %d", -int64(1)<<(bits-1), int64(1)<<(bits-1)-1)
	}
	return ""
}

// allows says whether the text is one of the enum, if there is one.
func (s shape) allows(text string) bool {
	return len(s.enum) == 0 || slices.Contains(s.enum, text)
}
