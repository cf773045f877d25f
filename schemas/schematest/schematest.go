// Package schematest validates records in tests. It is stricter than a reader
// may be: a member that the schema does not know fails, so that what we write
// cannot outgrow what we document. Only tests import it.
package schematest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stackjoin/stackjoin/schemas"
)

// Validate fails the test when value is no record of the schema of that name
// ("stackjoin.row/1"), or has a member that the schema does not know where it
// does not say that any may stand. It may be called from several goroutines.
func Validate(t testing.TB, name string, value []byte) {
	t.Helper()
	if err := Check(name, value); err != nil {
		t.Errorf("no record of %s: %v\n%s", name, err, value)
	}
}

// Check is Validate for those who expect an error.
func Check(name string, value []byte) error {
	validators, err := compiled()
	if err != nil {
		return err
	}
	v := validators[name]
	if v == nil {
		return fmt.Errorf("there is no schema %q", name)
	}
	record, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if err := v.Validate(record); err != nil {
		return fmt.Errorf("invalid: %w", err)
	}
	return nil
}

// compiled holds every schema, compiled once.
var compiled = sync.OnceValues(compile) //nolint:gochecknoglobals // set once, to what never changes

func compile() (map[string]*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	names := schemas.Names()
	for _, name := range names {
		if err := add(c, name); err != nil {
			return nil, err
		}
	}
	validators := make(map[string]*jsonschema.Schema, len(names))
	for _, name := range names {
		v, err := c.Compile(schemas.ID(name))
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		validators[name] = v
	}
	return validators, nil
}

func add(c *jsonschema.Compiler, name string) error {
	text, err := schemas.Read(name)
	if err != nil {
		return fmt.Errorf("adding: %w", err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = c.AddResource(schemas.ID(name), closed(schema))
	}
	if err != nil {
		return fmt.Errorf("schema %s: %w", name, err)
	}
	if id, ok := schema.(map[string]any); !ok || id["$id"] != schemas.ID(name) {
		return errors.New("schema " + name + ": its $id is not " + schemas.ID(name))
	}
	return nil
}

// closed makes every schema of an object refuse the members it does not know,
// unless it says of others what they may be.
func closed(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = closed(n[i])
		}
	case map[string]any:
		for key := range n {
			n[key] = closed(n[key])
		}
		_, members := n["properties"].(map[string]any)
		if _, others := n["additionalProperties"]; n["type"] == "object" && members && !others {
			n["additionalProperties"] = false
		}
	}
	return node
}
