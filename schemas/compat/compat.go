// Package compat compares two versions of a JSON Schema and tells what a reader
// of the old one would stumble over in a record of the new one. It knows the
// keywords that the schemas here use, and takes any change of another for one
// that breaks. It must never be needed at run time: the tests of the schemas use
// it, and so may the tests of who reads our records.
package compat

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Compare returns what changed between two versions of a schema that may not
// change within a major version, one line each with its place, in a stable
// order. An object may gain members, but none that is required; a list of
// allowed values may gain values, which readers have to expect; texts for people
// may change. All else has to stay.
func Compare(released, current []byte) ([]string, error) {
	var was, is any
	if err := json.Unmarshal(released, &was); err != nil {
		return nil, fmt.Errorf("released schema: %w", err)
	}
	if err := json.Unmarshal(current, &is); err != nil {
		return nil, fmt.Errorf("current schema: %w", err)
	}
	c := comparison{}
	c.schema("#", was, is)
	return c.problems, nil
}

type comparison struct {
	problems []string
}

func (c *comparison) say(at, what string, args ...any) {
	c.problems = append(c.problems, at+": "+fmt.Sprintf(what, args...))
}

// schema compares two schemas, keyword by keyword.
func (c *comparison) schema(at string, was, is any) {
	before, object := was.(map[string]any)
	after, stays := is.(map[string]any)
	if !object || !stays { // true and false are schemas too
		if !reflect.DeepEqual(was, is) {
			c.say(at, "was %v, is %v", was, is)
		}
		return
	}
	keywords := maps.Clone(before)
	maps.Copy(keywords, after)
	for _, keyword := range slices.Sorted(maps.Keys(keywords)) {
		c.keyword(at+"/"+keyword, keyword, before[keyword], after[keyword])
	}
}

// keyword compares the values of one keyword, nil where it is absent.
func (c *comparison) keyword(at, keyword string, was, is any) {
	switch keyword {
	case "title", "description", "$comment", "examples":
	case "properties", "$defs":
		c.members(at, was, is)
	case "items", "additionalProperties", "if", "then", "else", "not":
		c.schema(at, was, is)
	case "allOf", "anyOf", "oneOf":
		c.list(at, was, is)
	case "required":
		c.required(at, was, is)
	case "enum":
		c.enum(at, was, is)
	default:
		if !reflect.DeepEqual(was, is) {
			c.say(at, "was %v, is %v", was, is)
		}
	}
}

// members compares named schemas: none may go, others may come.
func (c *comparison) members(at string, was, is any) {
	before, _ := was.(map[string]any)
	after, _ := is.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; ok {
			c.schema(at+"/"+name, before[name], now)
		} else {
			c.say(at+"/"+name, "is gone")
		}
	}
}

func (c *comparison) list(at string, was, is any) {
	before, _ := was.([]any)
	after, _ := is.([]any)
	if len(before) != len(after) {
		c.say(at, "had %d schemas, has %d", len(before), len(after))
		return
	}
	for i := range before {
		c.schema(fmt.Sprintf("%s/%d", at, i), before[i], after[i])
	}
}

// required may neither grow, which makes old records invalid, nor shrink, which
// takes from readers what they count on.
func (c *comparison) required(at string, was, is any) {
	for _, name := range missing(is, was) {
		c.say(at, "gained %v", name)
	}
	for _, name := range missing(was, is) {
		c.say(at, "lost %v", name)
	}
}

func (c *comparison) enum(at string, was, is any) {
	if was == nil || is == nil {
		c.say(at, "was %v, is %v", was, is)
		return
	}
	for _, value := range missing(was, is) {
		c.say(at, "lost %v", value)
	}
}

// missing returns the values of the first list that the second does not have.
func missing(from, in any) (values []any) {
	list, _ := from.([]any)
	other, _ := in.([]any)
	for _, v := range list {
		if !slices.ContainsFunc(other, func(o any) bool { return reflect.DeepEqual(o, v) }) {
			values = append(values, v)
		}
	}
	return values
}
