package config

import (
	"reflect"
	"strconv"
	"strings"
)

// validate asks v, and every struct in it that is set, what is wrong with its values.
// What concerns a key that already has a problem is left out: it would be a consequence.
func (d *decoder) validate(key string, v reflect.Value) {
	found := d.broken()
	walk(key, v, func(key string, judge Validator) {
		for _, p := range judge.Validate() {
			full := join(key, p.Key)
			if !found.touches(full) {
				d.report(full, d.nearestLine(full), p.Message)
			}
		}
	})
}

// walk calls visit for each Validator in the value.
func walk(key string, v reflect.Value, visit func(string, Validator)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type().Elem().Kind() == reflect.Struct {
			walk(key, v.Elem(), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(join(key, "["+strconv.Itoa(i)+"]"), v.Index(i), visit)
		}
	case reflect.Struct:
		walkStruct(key, v, visit)
	}
}

func walkStruct(key string, v reflect.Value, visit func(string, Validator)) {
	if judge, ok := v.Addr().Interface().(Validator); ok {
		visit(key, judge)
	}
	if isScalar(v.Type()) {
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.IsExported() && name != "-" {
			walk(join(key, name), v.Field(i), visit)
		}
	}
}

// keys is a set of full keys.
type keys map[string]bool

// broken returns the keys that have a problem.
func (d *decoder) broken() keys {
	set := keys{}
	for _, p := range d.problems {
		set[p.Key] = true
	}
	return set
}

// touches says whether the key or one above it is in the set. The root does not count:
// a problem of the whole file says nothing of a key.
func (k keys) touches(key string) bool {
	for ; key != ""; key = parentOf(key) {
		if k[key] {
			return true
		}
	}
	return false
}

// nearestLine returns the line of the key, or of the section that lacks it.
func (d *decoder) nearestLine(key string) int {
	for ; key != ""; key = parentOf(key) {
		if line := d.lines[key]; line > 0 {
			return line
		}
	}
	return 0
}
