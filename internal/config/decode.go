package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder walks one file and collects what is wrong with it.
type decoder struct {
	env      Env
	lines    map[string]int // full key -> line it was found at
	problems []Located
}

func (d *decoder) report(key string, line int, message string) {
	d.problems = append(d.problems, Located{Problem: Problem{Key: key, Message: message}, Line: line})
}

// value sets v, which has the given shape, from the node.
func (d *decoder) value(key string, node ast.Node, s shape, v reflect.Value) {
	switch s.kind {
	case scalar:
		d.scalar(key, node, s, v)
	case section:
		d.section(key, node, s, v)
	case optional:
		d.optional(key, node, s, v)
	case list:
		d.list(key, node, s, v)
	case table:
		d.table(key, node, s, v)
	}
}

// section sets the fields that the mapping names. No mapping at all leaves the defaults.
func (d *decoder) section(key string, node ast.Node, s shape, v reflect.Value) {
	entries, ok := d.mapping(key, node, "keys: "+strings.Join(s.names(), ", "))
	if !ok {
		return
	}
	for _, e := range entries {
		field, known := s.field(e.name)
		if !known {
			d.report(e.key, e.line, unknownKey(e.name, s.names()))
			continue
		}
		d.value(e.key, e.value, field, v.FieldByIndex(field.index))
	}
}

func unknownKey(name string, allowed []string) string {
	return fmt.Sprintf("unknown key%s (allowed: %s)", nearest(name, allowed), strings.Join(allowed, ", "))
}

// optional makes the section that the file has, with its defaults.
func (d *decoder) optional(key string, node ast.Node, s shape, v reflect.Value) {
	made := reflect.New(s.item.typ)
	if !d.fresh(key, node, *s.item, made.Elem()) {
		return
	}
	d.section(key, node, *s.item, made.Elem())
	v.Set(made)
}

// fresh sets the defaults of a section that the file adds.
func (d *decoder) fresh(key string, node ast.Node, s shape, v reflect.Value) bool {
	if err := s.setDefaults(v); err != nil {
		d.report(key, lineOf(node), err.Error())
		return false
	}
	return true
}

// list sets all items of a sequence, or of a variable that holds them between commas.
func (d *decoder) list(key string, node ast.Node, s shape, v reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.notSequence(key, node, s, v)
		return
	}
	made := reflect.MakeSlice(s.typ, len(sequence.Values), len(sequence.Values))
	for i, node := range sequence.Values {
		child := join(key, "["+strconv.Itoa(i)+"]")
		d.lines[child] = lineOf(node)
		if d.fresh(child, node, *s.item, made.Index(i)) {
			d.value(child, node, *s.item, made.Index(i))
		}
	}
	v.Set(made)
}

func (d *decoder) notSequence(key string, node ast.Node, s shape, v reflect.Value) {
	raw, plain := textOf(node)
	if !plain || s.item.kind != scalar || !isOneVariable(raw) {
		d.report(key, lineOf(node), refused(node, "expected a list, one \"- item\" on each line"))
		return
	}
	text, err := expand(raw, d.env)
	if err != nil {
		d.report(key, lineOf(node), err.Error())
		return
	}
	items := splitList(text)
	for _, item := range items {
		if !s.item.allows(item) {
			d.report(key, lineOf(node), s.item.mismatch(raw, ""))
			return
		}
	}
	if s.setList(v, items) != nil {
		d.report(key, lineOf(node), s.item.mismatch(raw, ""))
	}
}

// table sets the entries of a mapping whose keys are the user's own.
func (d *decoder) table(key string, node ast.Node, s shape, v reflect.Value) {
	entries, ok := d.mapping(key, node, "names and values")
	if !ok {
		return
	}
	made := reflect.MakeMapWithSize(s.typ, len(entries))
	for _, e := range entries {
		item := reflect.New(s.item.typ).Elem()
		d.scalar(e.key, e.value, *s.item, item)
		made.SetMapIndex(reflect.ValueOf(e.name).Convert(s.typ.Key()), item)
	}
	v.Set(made)
}

// scalar sets a value from one text.
func (d *decoder) scalar(key string, node ast.Node, s shape, v reflect.Value) {
	raw, plain := textOf(node)
	if !plain {
		d.report(key, lineOf(node), refused(node, "expected "+s.expected()))
		return
	}
	text, err := expand(raw, d.env)
	if err != nil {
		d.report(key, lineOf(node), err.Error())
		return
	}
	if !s.allows(text) || setText(v, text) != nil {
		d.report(key, lineOf(node), s.mismatch(raw, text))
	}
}

// mismatch says what a scalar takes and, unless it is a secret, what the file has. The
// text is the file's own, before variables are replaced.
func (s shape) mismatch(raw, text string) string {
	expected := s.expected()
	if len(s.enum) > 0 {
		expected = "one of " + strings.Join(s.enum, ", ")
	}
	if s.secret() {
		return "expected " + expected
	}
	hint := ""
	if raw == text {
		hint = nearest(text, s.enum)
	}
	return fmt.Sprintf("expected %s, got %q%s", expected, shorten(raw), hint)
}

// shorten cuts a long text for a message.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
