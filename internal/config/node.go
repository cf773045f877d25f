package config

import (
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// entry is one line of a mapping.
type entry struct {
	name  string // as written
	key   string // full
	line  int
	value ast.Node
}

// mapping returns the entries of a mapping without duplicates, and remembers their lines.
// An empty value counts as an empty mapping; the hint says what else was expected.
func (d *decoder) mapping(key string, node ast.Node, hint string) ([]entry, bool) {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case nil, *ast.NullNode:
		return nil, true
	default:
		d.report(key, lineOf(node), refused(node, "expected a section ("+hint+")"))
		return nil, false
	}
	return d.entries(key, pairs), true
}

func (d *decoder) entries(key string, pairs []*ast.MappingValueNode) []entry {
	entries := make([]entry, 0, len(pairs))
	first := map[string]int{}
	for _, pair := range pairs {
		line := lineOf(pair.Key)
		name, plain := textOf(pair.Key)
		full := join(key, keyText(name))
		switch {
		case !plain:
			d.report(key, line, refused(pair.Key, "a key must be plain text"))
			continue
		case first[name] > 0:
			d.report(full, line, "duplicate key, first set at line "+strconv.Itoa(first[name]))
			continue
		}
		first[name] = line
		d.lines[full] = line
		entries = append(entries, entry{name: name, key: full, line: line, value: pair.Value})
	}
	return entries
}

// keyText quotes a key that would be hard to read, or could be taken for two.
func keyText(name string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_/-]{1,80}$`).MatchString(name) {
		return name
	}
	return strconv.Quote(shorten(name))
}

// textOf returns the text of a scalar as the file has it; false for anything else, also
// for no value at all.
func textOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	case *ast.MappingNode:
		if len(n.Values) == 1 && n.GetToken().Value == ":" {
			return glued(n.Values[0])
		}
	}
	return "", false
}

// glued returns the text of host:port, which the parser takes for a pair inside
// {a: [host:port]}. In YAML a pair has a space after its colon.
func glued(pair *ast.MappingValueNode) (string, bool) {
	key, plainKey := textOf(pair.Key)
	value, plainValue := textOf(pair.Value)
	if !plainKey || !plainValue || pair.Start == nil {
		return "", false
	}
	colon, token := pair.Start.Position, pair.Value.GetToken()
	if token.Position.Line != colon.Line || token.Position.Column != colon.Column+1 {
		return "", false
	}
	return key + ":" + value, true
}

// refused says why the node cannot be taken; otherwise is what to say of a node that is
// fine YAML but of another kind.
func refused(node ast.Node, otherwise string) string {
	switch node.(type) {
	case nil, *ast.NullNode:
		return otherwise + `, got nothing; remove the key to take its default, or write ""`
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "anchors, aliases and merge keys are not supported; write the value out"
	case *ast.TagNode:
		return "tags are not supported; quote a value to make it text"
	case *ast.MappingNode, *ast.MappingValueNode:
		return otherwise + ", got a section"
	case *ast.SequenceNode:
		return otherwise + ", got a list"
	}
	return otherwise + ", got a single value"
}

// lineOf returns the line a node starts at, 0 if it does not say.
func lineOf(node ast.Node) int {
	if node == nil {
		return 0
	}
	if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		node = mapping.Values[0].Key
	}
	token := node.GetToken()
	if token == nil || token.Position == nil {
		return 0
	}
	return token.Position.Line
}
