package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// kind is how a value is written in the file.
type kind int

const (
	scalar   kind = iota // one text
	section              // keys known from a struct
	optional             // a section that may be absent
	list                 // a sequence
	table                // keys of the user's choice
)

// maxDepth bounds the nesting of a configuration struct; only a recursive type passes it.
const maxDepth = 12

// shape describes a Go type, or a field with its tags, as a piece of the file.
type shape struct {
	kind   kind
	typ    reflect.Type
	name   string // the key; only fields have this and the next five
	index  []int  // of the field in the struct that holds it
	preset *string
	doc    string
	enum   []string
	fields []shape // of a section
	item   *shape  // of a list, a table or an optional section
}

// describe returns the shape of a configuration struct. An error is a mistake in the Go
// type, never in a file.
func describe(t reflect.Type) (shape, error) {
	if t.Kind() != reflect.Struct {
		return shape{}, fmt.Errorf("config: %s is not a struct", t)
	}
	return shapeOf(t, 0)
}

func shapeOf(t reflect.Type, depth int) (shape, error) {
	switch {
	case depth > maxDepth:
		return shape{}, fmt.Errorf("config: %s is nested too deep", t)
	case isScalar(t):
		return shape{kind: scalar, typ: t}, nil
	case t.Kind() == reflect.Struct:
		fields, err := fieldsOf(t, depth+1)
		return shape{kind: section, typ: t, fields: fields}, err
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		return holder(optional, t, depth)
	case t.Kind() == reflect.Slice:
		return holder(list, t, depth)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && isScalar(t.Elem()):
		return holder(table, t, depth)
	}
	return shape{}, fmt.Errorf("config: type %s is not supported", t)
}

func holder(k kind, t reflect.Type, depth int) (shape, error) {
	item, err := shapeOf(t.Elem(), depth+1)
	return shape{kind: k, typ: t, item: &item}, err
}

// isScalar says whether one text makes a value of the type.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64 && k != reflect.Uintptr || k == reflect.String
}

func fieldsOf(t reflect.Type, depth int) ([]shape, error) {
	var fields []shape
	for i := range t.NumField() {
		more, err := fieldOf(t.Field(i), depth)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, t.Field(i).Name, err)
		}
		fields = append(fields, more...)
	}
	return fields, unique(t, fields)
}

// fieldOf returns the shape of one struct field, those of its own fields when it is
// inlined, or none when it is not exported or named "-".
func fieldOf(f reflect.StructField, depth int) ([]shape, error) {
	name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if !f.IsExported() || name == "-" {
		return nil, nil
	}
	s, err := shapeOf(f.Type, depth)
	if err != nil {
		return nil, err
	}
	if option == "inline" && s.kind == section {
		return lift(s.fields, f.Index), nil
	}
	if name == "" {
		return nil, errors.New("config: no yaml tag")
	}
	return []shape{s.tagged(name, f)}, nil
}

// lift makes the fields of an inlined struct fields of the one around it.
func lift(fields []shape, at []int) []shape {
	for i := range fields {
		fields[i].index = append(append([]int{}, at...), fields[i].index...)
	}
	return fields
}

func (s shape) tagged(name string, f reflect.StructField) shape {
	s.name, s.index, s.doc = name, f.Index, f.Tag.Get("doc")
	if preset, has := f.Tag.Lookup("default"); has {
		s.preset = &preset
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		s.enum = strings.Split(enum, "|")
	}
	if s.item != nil {
		s.item.enum = s.enum // an enum on a list or table is about its values
	}
	return s
}

func unique(t reflect.Type, fields []shape) error {
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.name] {
			return fmt.Errorf("config: %s has the key %q twice", t, f.name)
		}
		seen[f.name] = true
	}
	return nil
}

// names returns the keys of a section in the order of the struct.
func (s shape) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// field returns the field with that key.
func (s shape) field(name string) (shape, bool) {
	for _, f := range s.fields {
		if f.name == name {
			return f, true
		}
	}
	return shape{}, false
}

// secret says whether the value must never be quoted.
func (s shape) secret() bool { return s.typ == reflect.TypeFor[Secret]() }
