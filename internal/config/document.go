package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Document writes the reference of a configuration struct, or of the one v points to, as
// a Markdown table: one row for each key, in the order of the struct, with nested keys
// dotted and the keys of list items as in "feeds[].name". A key without a doc tag, or
// with a default that does not fit, is an error and nothing is written.
func Document(w io.Writer, title string, v any) error {
	t := reflect.TypeOf(v)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return fmt.Errorf("config: %T is not a struct", v)
	}
	root, err := describe(t)
	if err != nil {
		return err
	}
	p := &page{}
	fmt.Fprintf(&p.text, "## %s\n\n| Key | Type | Default | Allowed | Meaning |\n|---|---|---|---|---|\n", title)
	if err := p.section("", root); err != nil {
		return err
	}
	_, err = io.WriteString(w, p.text.String())
	return err //nolint:wrapcheck // the caller names the page
}

// page is a Markdown table being written.
type page struct{ text strings.Builder }

func (p *page) section(key string, s shape) error {
	if err := s.setDefaults(reflect.New(s.typ).Elem()); err != nil {
		return err
	}
	for _, f := range s.fields {
		if err := p.field(join(key, f.name), f); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) field(key string, f shape) error {
	if f.doc == "" && f.kind != section {
		return fmt.Errorf("config: %s has no doc tag", key)
	}
	if f.doc != "" {
		p.row(key, f)
	}
	inner, at := f, key
	if f.kind == list {
		at += "[]"
	}
	if f.item != nil {
		inner = *f.item
	}
	if inner.kind == section {
		return p.section(at, inner)
	}
	return nil
}

func (p *page) row(key string, f shape) {
	preset := ""
	switch {
	case f.preset != nil && *f.preset == "":
		preset = "empty"
	case f.preset != nil:
		preset = code(*f.preset)
	case f.kind == optional:
		preset = "absent"
	}
	allowed := make([]string, len(f.enum))
	for i, value := range f.enum {
		allowed[i] = code(value)
	}
	fmt.Fprintf(&p.text, "| %s | %s | %s | %s | %s |\n",
		code(key), f.typeName(), preset, strings.Join(allowed, ", "), cell(f.doc))
}

// typeName is the type as a reader of the file thinks of it.
func (s shape) typeName() string {
	switch s.kind {
	case section, optional:
		return "section"
	case list:
		return "list of " + s.item.typeName()
	case table:
		return "map of " + s.item.typeName()
	case scalar:
	}
	if s.secret() {
		return "secret"
	}
	name, _, _ := strings.Cut(s.expected(), " such as")
	return cell(strings.TrimPrefix(name, "a "))
}

func code(text string) string { return "`" + cell(text) + "`" }

// cell escapes what would end a table's cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
