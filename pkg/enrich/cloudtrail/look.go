package cloudtrail

import (
	"hash/maphash"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// usualMembers is how many members a record has, most often, mostMembers for how many
// memory is kept: a hostile object's is given back.
const (
	usualMembers = 32
	mostMembers  = 1 << 10
)

// member is a member of an object.
type member struct {
	name []byte
	v    node
}

// look is one look at an object, which steps through its text once. Its memory is used
// again by the next.
type look struct {
	raw     []byte
	members []member
	// plain tells that no member at any depth has the name of a secret, and that no text
	// has escapes, behind which there may be one.
	plain bool
	known known

	cursor event.Cursor
	watch  func(name []byte)
	take   func(name []byte) error
}

// at looks at the object that text begins with, white space before it apart.
func (l *look) at(text []byte) error {
	if l.watch == nil {
		l.watch = func(name []byte) { l.plain = l.plain && !isSecret(name) }
		l.take = func(name []byte) error {
			v, err := l.cursor.Value()
			l.members = append(l.members, member{name, node{v}})
			return err
		}
	}
	if l.members == nil || cap(l.members) > mostMembers {
		l.members = make([]member, 0, usualMembers)
	}
	l.members, l.plain, l.cursor = l.members[:0], true, event.NewCursor(text)
	l.cursor.Watch(l.watch)
	l.cursor.Peek()
	start := l.cursor.Offset()
	if err := l.cursor.Object(l.take); err != nil {
		return err
	}
	l.raw = text[start:l.cursor.Offset()]
	l.plain = l.plain && !l.cursor.Escapes()
	return nil
}

// record makes the object a Record.
func (l *look) record(r *Record) {
	*r = Record{Raw: l.raw, Odd: r.Odd[:0], plain: l.plain, clean: !l.cursor.Control()}
	var times [3]node
	for _, m := range l.members {
		r.member(m.name, m.v, &times, &l.known)
	}
	r.time(times)
	r.check()
	if r.EventID != "" {
		r.id = r.ID()
	}
}

// known has the texts that come again and again, so that a record's view does not hold
// memory of its own for each: those of one hash take each other's place. The zero value
// knows none, and never will.
type known struct {
	seed  maphash.Seed
	texts []string
}

const (
	knownTexts = 1 << 10
	// longKnown is the longest text that is looked for.
	longKnown = 128
)

func newKnown() known { return known{maphash.MakeSeed(), make([]string, knownTexts)} }

// text is what n says, as node.text returns it.
func (k *known) text(n node) string {
	raw := n.v.Raw
	if k.texts == nil || !n.v.String || n.v.Escaped || len(raw) == 0 || len(raw) > longKnown {
		return n.text()
	}
	slot := &k.texts[maphash.Bytes(k.seed, raw)%knownTexts]
	if *slot != string(raw) {
		*slot = n.text()
	}
	return *slot
}
