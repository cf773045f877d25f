package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds what is parsed: a configuration is small, and the parser recurses.
const maxFile = 1 << 20

// Load reads the file into the struct that into points to. See Parse; a file that cannot
// be read is an error that wraps the cause, as os.ReadFile gives it.
func Load(path string, into any, env Env) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text, into, env)
}

// Parse sets the defaults of the struct that into points to, then the values of the YAML
// text, then calls each Validator. The name is the file's, for messages. Env looks
// variables up; nil knows none. Everything wrong with the text comes back at once as an
// *Errors, with the struct filled as far as it went; any other error is a mistake in the
// Go type. A list or table in the text replaces the default one; an empty section leaves
// the defaults.
func Parse(name string, text []byte, into any, env Env) error {
	root, v, err := target(into)
	if err != nil {
		return err
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	d := &decoder{env: env, lines: map[string]int{}}
	if body, ok := d.document(text); ok {
		d.section("", body, root, v)
		d.validate("", v)
	}
	if len(d.problems) == 0 {
		return nil
	}
	return &Errors{File: name, Problems: sorted(d.problems)}
}

// Defaults sets every field of the struct that into points to that has a default.
// Optional sections stay absent.
func Defaults(into any) error {
	_, _, err := target(into)
	return err
}

// target describes the struct behind the pointer and sets its defaults.
func target(into any) (shape, reflect.Value, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return shape{}, v, fmt.Errorf("config: %T is not a pointer to a struct", into)
	}
	root, err := describe(v.Type().Elem())
	if err != nil {
		return shape{}, v, err
	}
	return root, v.Elem(), root.setDefaults(v.Elem())
}

// setDefaults sets the fields that have a default; an error is a mistake in a tag.
func (s shape) setDefaults(v reflect.Value) error {
	for _, f := range s.fields {
		if err := f.setDefault(v.FieldByIndex(f.index)); err != nil {
			return fmt.Errorf("config: default of %s in %s: %w", f.name, s.typ, err)
		}
	}
	return nil
}

func (s shape) setDefault(v reflect.Value) error {
	switch {
	case s.kind == section:
		return s.setDefaults(v)
	case s.preset == nil:
		return nil
	case !s.allows(*s.preset):
		return errors.New("not one of the allowed values")
	case s.kind == scalar:
		return setText(v, *s.preset)
	case s.kind == list && s.item.kind == scalar:
		return s.setList(v, splitList(*s.preset))
	}
	return errors.New("only scalars and lists of them have defaults")
}

// setList makes a list of the texts.
func (s shape) setList(v reflect.Value, texts []string) error {
	made := reflect.MakeSlice(s.typ, len(texts), len(texts))
	for i, text := range texts {
		if err := setText(made.Index(i), text); err != nil {
			return err
		}
	}
	v.Set(made)
	return nil
}

// document parses the text and returns the body of its one document, nil for an empty
// one; false if there is none to read.
func (d *decoder) document(text []byte) (ast.Node, bool) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case len(text) > maxFile:
		d.report("", 0, fmt.Sprintf("larger than %s", Bytes(maxFile)))
		return nil, false
	case !utf8.Valid(text):
		d.report("", 0, "not UTF-8 text")
		return nil, false
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	return d.only(file.Docs), true
}

// only returns the body of the one document there may be.
func (d *decoder) only(docs []*ast.DocumentNode) ast.Node {
	if len(docs) == 0 {
		return nil
	}
	if len(docs) > 1 {
		line := 0
		if start := docs[1].Start; start != nil {
			line = start.Position.Line
		}
		d.report("", line, "only one YAML document is allowed in a file")
	}
	return docs[0].Body
}

// syntax reports an error of the parser without the excerpt of the file that its own
// text has, and without what it quotes: a secret may be in either.
func (d *decoder) syntax(err error) {
	var broken *yaml.SyntaxError
	if errors.As(err, &broken) && broken.Token != nil {
		d.report("", broken.Token.Position.Line, "not valid YAML: "+unquoted(broken.Message))
		return
	}
	d.report("", 0, "not valid YAML")
}

// unquoted hides what a message quotes, and keeps it to one line.
func unquoted(message string) string {
	return regexp.MustCompile(`(?s)".*"|[\r\n]`).ReplaceAllString(message, `"..."`)
}
