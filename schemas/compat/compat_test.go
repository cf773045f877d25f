package compat_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/schemas/compat"
)

const base = `{
	"$id": "https://example.com/a/1.json", "title": "A", "type": "object", "required": ["id"],
	"properties": {
		"id": {"type": "string", "description": "the id", "pattern": "^a"},
		"kind": {"enum": ["x", "y"]},
		"n": {"type": ["integer", "string"], "minimum": 0},
		"list": {"type": "array", "items": {"$ref": "#/$defs/item"}},
		"any": {"type": "object", "additionalProperties": true}
	},
	"anyOf": [{"required": ["kind"]}, {"required": ["n"]}],
	"$defs": {"item": {"type": "object", "properties": {"v": {"type": "string"}}}}
}`

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		what, from, to string
		want           []string
	}{
		{"nothing", `"title"`, `"title"`, nil},
		{"a text for people", `"the id"`, `"the record's own id"`, nil},
		{"a text for people goes", `"title": "A",`, ``, nil},
		{"an optional member", `"kind": {`, `"new": {"type": "object", "required": ["x"], "properties": {"x": true}}, "kind": {`, nil},
		{"an optional member deeper", `"v": {`, `"w": {"type": "string"}, "v": {`, nil},
		{"a definition", `"item": {`, `"other": {}, "item": {`, nil},
		{"an allowed value more", `["x", "y"]`, `["z", "x", "y"]`, nil},
		{"an allowed value less", `["x", "y"]`, `["x"]`, []string{"#/properties/kind/enum: lost y"}},
		{"allowed values where all were", `"pattern": "^a"`, `"pattern": "^a", "enum": ["a"]`, []string{"#/properties/id/enum: was <nil>, is [a]"}},
		{"a member goes", `"kind": {"enum": ["x", "y"]},`, ``, []string{"#/properties/kind: is gone"}},
		{"a member's name", `"v": {`, `"V": {`, []string{"#/$defs/item/properties/v: is gone"}},
		{"a required member", `"required": ["id"]`, `"required": ["id", "kind"]`, []string{"#/required: gained kind"}},
		{"a member no longer required", `"required": ["id"]`, `"required": []`, []string{"#/required: lost id"}},
		{"required where none was", `"item": {`, `"item": {"required": ["v"], `, []string{"#/$defs/item/required: gained v"}},
		{"a narrower type", `["integer", "string"]`, `"integer"`, []string{"#/properties/n/type: was [integer string], is integer"}},
		{"a wider type", `"v": {"type": "string"}`, `"v": {"type": ["string", "null"]}`, []string{"#/$defs/item/properties/v/type: was string, is [string null]"}},
		{"a bound", `"minimum": 0`, `"minimum": 1`, []string{"#/properties/n/minimum: was 0, is 1"}},
		{"a bound more", `"minimum": 0`, `"minimum": 0, "maximum": 9`, []string{"#/properties/n/maximum: was <nil>, is 9"}},
		{"a pattern goes", `, "pattern": "^a"`, ``, []string{"#/properties/id/pattern: was ^a, is <nil>"}},
		{"elements", `"items": {"$ref": "#/$defs/item"}`, `"items": {"type": "string"}`, []string{"#/properties/list/items/$ref: was #/$defs/item, is <nil>", "#/properties/list/items/type: was <nil>, is string"}},
		{"a definition goes", `"$defs": {"item"`, `"$defs": {"thing"`, []string{"#/$defs/item: is gone"}},
		{"other members", `"additionalProperties": true`, `"additionalProperties": {"type": "string"}`, []string{"#/properties/any/additionalProperties: was true, is map[type:string]"}},
		{"an alternative", `{"required": ["kind"]}, `, ``, []string{"#/anyOf: had 2 schemas, has 1"}},
		{"another alternative", `{"required": ["n"]}`, `{"required": ["list"]}`, []string{"#/anyOf/1/required: gained list", "#/anyOf/1/required: lost n"}},
		{"the id", `a/1.json`, `a/2.json`, []string{"#/$id: was https://example.com/a/1.json, is https://example.com/a/2.json"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			got, err := compat.Compare([]byte(base), []byte(replaced(t, test.from, test.to)))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q (%v), want %q", got, err, test.want)
			}
		})
	}
}

// replaced returns the base schema with one change.
func replaced(t *testing.T, from, to string) string {
	t.Helper()
	if strings.Count(base, from) != 1 {
		t.Fatalf("%s is %d times in the base schema", from, strings.Count(base, from))
	}
	return strings.Replace(base, from, to, 1)
}

func TestCompareRefusesWhatIsNoJSON(t *testing.T) {
	if _, err := compat.Compare([]byte("{"), []byte("{}")); err == nil {
		t.Error("a released schema that is no JSON passes")
	}
	if _, err := compat.Compare([]byte("{}"), []byte("{")); err == nil {
		t.Error("a current schema that is no JSON passes")
	}
}
