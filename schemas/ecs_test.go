package schemas_test

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/schemas"
)

// ours are the names in an enrichment that the Elastic Common Schema does not
// have, with all that is below them.
func ours() []string {
	return []string{
		"schema", "time_source", "event.revision", "event.final", "process.inferred", "process.parent.inferred", "process.ancestors",
		"process.previous.entity_id", "process.previous.command_line", "process.previous.start", "session", "link", "dns.candidates",
		"network.connection_uid", "tls.client.ja4", "tls.server.ja4s", "tls.server.jarm", "threat.enrichments.feed", "aws", "gaps", "evidence", "truncated",
	}
}

// ecsField is what ECS says of a field.
type ecsField struct {
	kind  string
	array bool
	// values are those it may have, empty where any will do.
	values []string
}

// ecs reads the field list and the lists of allowed values.
func ecs(t *testing.T) map[string]ecsField {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(string(testdata.Read(t, "ecs/fields.csv")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	const name, kind, normalization = 3, 4, 6
	if records[0][name] != "Field" || records[0][kind] != "Type" || records[0][normalization] != "Normalization" {
		t.Fatalf("columns of fields.csv are %q", records[0])
	}
	values := ecsValues(t)
	fields := make(map[string]ecsField, len(records))
	for _, r := range records[1:] {
		fields[r[name]] = ecsField{kind: r[kind], array: r[normalization] == "array", values: values[r[name]]}
	}
	return fields
}

func ecsValues(t *testing.T) map[string][]string {
	t.Helper()
	var flat map[string]struct {
		Allowed  []struct{ Name string } `yaml:"allowed_values"`
		Expected []string                `yaml:"expected_values"`
	}
	if err := yaml.Unmarshal(testdata.Read(t, "ecs/ecs_flat.yml"), &flat); err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for name, field := range flat {
		values[name] = field.Expected
		for _, v := range field.Allowed {
			values[name] = append(values[name], v.Name)
		}
	}
	return values
}

// node is as much of a schema as the check looks at.
type node struct {
	Ref        string           `json:"$ref"`
	Type       any              `json:"type"`
	Format     string           `json:"format"`
	Enum       []string         `json:"enum"`
	Const      any              `json:"const"`
	AnyOf      []node           `json:"anyOf"`
	Items      *node            `json:"items"`
	Properties map[string]*node `json:"properties"`
	Defs       map[string]*node `json:"$defs"`
}

func schemaOf(t *testing.T, name string) *node {
	t.Helper()
	text, err := schemas.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	n := new(node)
	if err := json.Unmarshal(text, n); err != nil {
		t.Fatal(err)
	}
	return n
}

// walker visits the members of the enriched schema under their dotted names.
type walker struct {
	enriched *node
	// others are the schemas that it refers to, by the part of their $id that tells
	// them apart.
	others map[string]*node
	ours   []string
	seen   map[string]*node
}

func (w *walker) resolve(n *node) *node {
	for n.Ref != "" {
		document, name, _ := strings.Cut(n.Ref, "#/$defs/")
		if document == "" {
			n = w.enriched.Defs[name]
		} else {
			n = w.others[strings.TrimPrefix(document, "https://stackjoin.dev/schemas/")].Defs[name]
		}
	}
	return n
}

func (w *walker) walk(name string, n *node) {
	n = w.resolve(n)
	w.seen[name] = n
	if slices.Contains(w.ours, name) {
		return
	}
	inner := n
	if n.Items != nil {
		inner = w.resolve(n.Items)
	}
	for member, m := range inner.Properties {
		w.walk(strings.TrimPrefix(name+"."+member, "."), m)
	}
}

func TestEnrichedIsECS(t *testing.T) {
	fields := ecs(t)
	enriched := schemaOf(t, "stackjoin.enriched/1")
	others := map[string]*node{"row/1.json": schemaOf(t, "stackjoin.row/1")}
	w := &walker{enriched: enriched, others: others, ours: ours(), seen: map[string]*node{}}
	w.walk("", enriched.Defs["enrichment"])
	ancestors := w.resolve(w.resolve(w.seen["process.ancestors"]).Items)
	for member, m := range ancestors.Properties { // an ancestor is a process, under ECS's names of one
		if member != "inferred" {
			w.walk("process."+member, m)
		}
	}
	if checked := w.check(t, fields); checked < 55 {
		t.Errorf("only %d fields were checked", checked)
	}
}

// check holds every field that was seen to ECS and returns how many those are.
func (w *walker) check(t *testing.T, fields map[string]ecsField) (checked int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w.seen)) {
		n := w.seen[name]
		if slices.Contains(w.ours, name) || n.Properties != nil || n.Items != nil && w.resolve(n.Items).Properties != nil {
			continue
		}
		checked++
		checkField(t, w, name, n, fields)
	}
	for _, name := range w.ours {
		if w.seen[name] == nil {
			t.Errorf("%s is listed as our own, but not in the schema", name)
		}
		if _, ok := fields[name]; ok {
			t.Errorf("%s is listed as our own, but ECS has it", name)
		}
	}
	return checked
}

func checkField(t *testing.T, w *walker, name string, n *node, fields map[string]ecsField) {
	t.Helper()
	field, ok := fields[name]
	if !ok {
		t.Errorf("%s is neither in ECS nor listed as our own", name)
		return
	}
	if array := n.Items != nil; array != field.array {
		t.Errorf("%s: list %v, in ECS %v", name, array, field.array)
	}
	if n.Items != nil {
		n = w.resolve(n.Items)
	}
	if got := ecsType(n); got != field.kind && (got != "keyword" || field.kind != "wildcard" && field.kind != "match_only_text") {
		t.Errorf("%s: is a %s, in ECS a %s", name, got, field.kind)
	}
	for _, v := range n.Enum {
		if len(field.values) > 0 && !slices.Contains(field.values, v) {
			t.Errorf("%s: %q is none of ECS's values %q", name, v, field.values)
		}
	}
	if len(field.values) > 0 && len(n.Enum) == 0 {
		t.Errorf("%s: has no list of values, in ECS %q", name, field.values)
	}
}

// ecsType is the ECS type that a schema of one value describes.
func ecsType(n *node) string {
	_, word := n.Const.(string)
	switch {
	case n.Type == "string" && n.Format == "date-time":
		return "date"
	case n.Type == "string" && len(n.AnyOf) == 2 && n.AnyOf[0].Format == "ipv4" && n.AnyOf[1].Format == "ipv6":
		return "ip"
	case n.Type == "string" && n.Format == "", n.Type == nil && (len(n.Enum) > 0 || word):
		return "keyword"
	case n.Type == "integer":
		return "long"
	case n.Type == "boolean":
		return "boolean"
	}
	return "unknown"
}
