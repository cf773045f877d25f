package cloudtrail

import (
	"errors"
	"strconv"

	"github.com/stackjoin/stackjoin/internal/clip"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// node is one JSON value inside a record, looked at in place. The zero node is a
// value that is not there; asking it anything gives nothing.
type node struct{ v event.Value }

// nodeOf is the value that text holds, which has been checked to be one, without
// white space around it.
func nodeOf(text []byte) node {
	switch {
	case len(text) == 0:
		return node{}
	case text[0] == '{' || text[0] == '[':
		return node{event.Value{Raw: text}}
	}
	c := event.NewCursor(text)
	v, err := c.Value()
	if err != nil {
		return node{}
	}
	return node{v}
}

func (n node) first() byte {
	if n.v.String || len(n.v.Raw) == 0 {
		return 0
	}
	return n.v.Raw[0]
}

func (n node) isObject() bool { return n.first() == '{' }
func (n node) isArray() bool  { return n.first() == '[' }
func (n node) isText() bool   { return n.v.String }

// each calls member with every member of an object; the name is for the call alone.
func (n node) each(member func(name []byte, v node)) {
	if !n.isObject() {
		return
	}
	c := event.NewCursor(n.v.Raw)
	_ = c.Object(func(name []byte) error { // the text has been checked before
		v, err := c.Value()
		member(name, node{v})
		return err
	})
}

// get follows names into nested objects. Of two members with one name the last
// counts, as in most JSON readers.
func (n node) get(names ...string) node {
	for _, name := range names {
		var found node
		n.each(func(member []byte, v node) {
			if string(member) == name {
				found = v
			}
		})
		n = found
	}
	return n
}

// maxText is how much of one text the view of a record keeps; AWS's own limits are
// far below it. The record's bytes have the rest.
const maxText = 4 << 10

// text is what a text or a number says, empty for anything else.
func (n node) text() string { return clip.Text(n.whole(), maxText) }

// whole is text without a limit, for texts that hold JSON again.
func (n node) whole() string {
	if n.isObject() || n.isArray() {
		return ""
	}
	return n.v.Text()
}

// raw is an object's or a list's text, nil for anything else.
func (n node) raw() []byte {
	if n.isObject() || n.isArray() {
		return n.v.Raw
	}
	return nil
}

// maxElements is how many elements of one list the view of a record keeps: RunInstances
// of a thousand instances is CloudTrail's longest.
const maxElements = 4096

// elements are the values of a list.
func (n node) elements() (all []node) {
	_ = n.eachElement(func(e node) error {
		if len(all) == maxElements {
			return errEnough
		}
		all = append(all, e)
		return nil
	})
	return all
}

var errEnough = errors.New("enough")

// eachElement calls each with every element of a list, and returns its error.
func (n node) eachElement(each func(e node) error) error {
	if !n.isArray() {
		return nil
	}
	c := event.NewCursor(n.v.Raw)
	return c.Array(func() error { // the text has been checked before
		v, err := c.Value()
		if err != nil {
			return err
		}
		return each(node{v})
	})
}

// set are the elements of EC2's sets, which were XML once: {"items":[…]},
// {"item":[…]}, {"item":{…}} or the list itself.
func (n node) set() []node {
	if n.isArray() {
		return n.elements()
	}
	for _, name := range []string{"items", "item"} {
		switch inner := n.get(name); {
		case inner.isArray():
			return inner.elements()
		case inner.isObject():
			return []node{inner}
		}
	}
	return nil
}

// truth reads a boolean, which some pipelines turn into text.
func (n node) truth() Truth {
	switch n.text() {
	case "true", "True", "Yes":
		return True
	case "false", "False", "No":
		return False
	}
	return Unknown
}

// float reads a number; AWS writes byte counts as 89.0.
func (n node) float() (float64, bool) {
	f, err := strconv.ParseFloat(n.text(), 64)
	return f, err == nil
}

// Truth is a boolean that a record may leave out.
type Truth uint8

// The three answers.
const (
	Unknown Truth = iota
	False
	True
)

// Pointer returns nil for Unknown.
func (t Truth) Pointer() *bool {
	if t == Unknown {
		return nil
	}
	b := t == True
	return &b
}
