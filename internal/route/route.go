// Package route decides to which topic a call goes, when it is accepted. It reads
// only what the rules need, in place, and leaves what it cannot read to the default
// stream.
//
// It must never fail on a call, and never change or keep its payload.
package route

import (
	"fmt"
	"slices"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/glob"
	"github.com/stackjoin/stackjoin/internal/peek"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// kind is what a call carries, as a bit.
type kind uint8

const (
	result kind = 1 << iota
	snapshot
	status

	everyKind = result | snapshot | status
)

// kindOf is the kind of a type of calls. A batch of lines is a result whatever its
// lines are; a request of no known form is none.
func kindOf(typ byte) kind {
	switch typ {
	case extension.TypeString, extension.TypeStringBatch, extension.TypeEvent:
		return result
	case extension.TypeSnapshot:
		return snapshot
	case extension.TypeStatus:
		return status
	}
	return 0
}

// rule is a Rule made ready.
type rule struct {
	kinds kind
	// names are patterns that the query's name must match, all of them.
	names []string
	// decorations are what the decoration at the same place in the Table must
	// match; nil means that the rule does not ask for it.
	decorations []*string
	topic       string
}

// reads tells that a rule needs more than the call's kind.
func (r *rule) reads() bool { return len(r.names) > 0 || len(r.decorations) > 0 }

// Table is a list of rules. It does not change, and may be used by several
// goroutines at once.
type Table struct {
	rules []rule
	// decorations are the names of all that rules ask for.
	decorations []string
}

// Compile makes rules ready. packDelimiter is osqueryd's --pack_delimiter. An error
// names the rule, counted from 0, and what is wrong with it.
func Compile(rules []Rule, packDelimiter string) (*Table, error) {
	if err := CheckDelimiter(packDelimiter); err != "" {
		return nil, fmt.Errorf("pack_delimiter: %s", err)
	}
	t := &Table{}
	for i := range rules {
		for _, p := range rules[i].Validate() {
			return nil, fmt.Errorf("routes[%d].%s: %s", i, p.Key, p.Message)
		}
		t.rules = append(t.rules, t.ready(&rules[i], packDelimiter))
	}
	return t, nil
}

func (t *Table) ready(r *Rule, packDelimiter string) rule {
	ready := rule{kinds: everyKind, topic: r.Topic}
	switch r.Kind {
	case "result":
		ready.kinds = result
	case "snapshot":
		ready.kinds = snapshot
	case "status":
		ready.kinds = status
	}
	if r.Query != "" {
		ready.names = append(ready.names, r.Query)
	}
	if r.Pack != "" { // the pack's own name may hold the delimiter, so it is a part of one pattern
		ready.names = append(ready.names, "pack"+packDelimiter+r.Pack+packDelimiter+"*")
	}
	for name, pattern := range r.Decorations {
		at := t.decoration(name)
		ready.decorations = append(ready.decorations, make([]*string, max(0, at+1-len(ready.decorations)))...)
		ready.decorations[at] = &pattern
	}
	return ready
}

// decoration is the place of the decoration called name.
func (t *Table) decoration(name string) int {
	at := slices.Index(t.decorations, name)
	if at < 0 {
		at = len(t.decorations)
		t.decorations = append(t.decorations, name)
	}
	return at
}

// Stream returns the topic that the first matching rule names, and false where none
// matches and the call goes to the default stream. typ is one of extension's types
// of calls. The payload is read only if a rule needs it, and not past what tells its
// query and decorations; a batch of lines goes by its first.
func (t *Table) Stream(typ byte, payload []byte) (topic string, ok bool) {
	var few [8]event.Value
	values := few[:]
	if len(t.decorations) > len(few) {
		values = make([]event.Value, len(t.decorations))
	}
	f := facts{envelope: peek.Envelope{Decorations: t.decorations, Values: values[:len(t.decorations)]}}
	k := kindOf(typ)
	for i := range t.rules {
		r := &t.rules[i]
		if r.kinds&k != 0 && (!r.reads() || f.match(r, typ, payload)) {
			return r.topic, true
		}
	}
	return "", false
}

// facts are what is known of one call, read when first needed. They do not hold the
// payload, so that their room for values stays on the stack.
type facts struct {
	read     bool
	envelope peek.Envelope
}

func (f *facts) match(r *rule, typ byte, payload []byte) bool {
	f.know(typ, payload)
	if len(r.names) > 0 && !matchAll(r.names, f.envelope.Name) {
		return false
	}
	for i, pattern := range r.decorations {
		if pattern != nil && !matchValue(*pattern, f.envelope.Values[i]) {
			return false
		}
	}
	return true
}

func (f *facts) know(typ byte, payload []byte) {
	if f.read {
		return
	}
	f.read = true
	switch typ {
	case extension.TypeString, extension.TypeSnapshot:
		f.envelope.Read(payload)
	case extension.TypeStringBatch:
		line, _ := peek.FirstLine(payload)
		f.envelope.Read(line)
	}
}

func matchAll(patterns []string, v event.Value) bool {
	for _, p := range patterns {
		if !matchValue(p, v) {
			return false
		}
	}
	return true
}

// matchValue matches a value that is there.
func matchValue(pattern string, v event.Value) bool {
	if v.Raw == nil {
		return false
	}
	text := v.Raw
	if v.Escaped {
		text = v.AppendText(nil)
	}
	return glob.Match(pattern, text)
}
