package cloudtrail

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/json"
	"slices"
	"sync"
)

// DefaultFacts is how many facts a Table keeps unless told otherwise: about 1 GiB of
// memory.
const DefaultFacts = 1 << 19

// Table holds facts in memory and answers from them. What it holds and answers
// depends on the facts alone, never on the order in which they came. When it is full
// it forgets the oldest facts first, and counts them. It is safe for concurrent use.
type Table struct {
	max int

	mu      sync.RWMutex
	facts   map[string]*entry
	subject map[Subject]*list
	oldest  ages
	evicted int64
	// recent are the subjects of the facts that came last, the newest where changes
	// points to: a ring.
	recent  []Subject
	changes uint64
}

// Subject is what facts of a kind are about.
type Subject struct {
	Kind FactKind
	Name string
}

// entry is a fact with its key and its place in the heap of ages.
type entry struct {
	fact  *Fact
	key   string
	place int
}

// NewTable returns an empty Table for at most limit facts, 0 for DefaultFacts.
func NewTable(limit int) *Table {
	if limit <= 0 {
		limit = DefaultFacts
	}
	return &Table{max: limit, facts: map[string]*entry{}, subject: map[Subject]*list{}}
}

// Len is the number of facts held, Evicted that of those forgotten for want of room:
// while it is 0, what a Table does not know no record has stated.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.facts)
}

// Evicted is the number of facts that were forgotten for want of room.
func (t *Table) Evicted() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.evicted
}

// Add takes a fact in. One with the same key as another replaces it where it is
// later, or else says more.
func (t *Table) Add(f Fact) {
	key := f.CompactionKey("")
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.facts[key]; old != nil {
		if c := compare(&f, old.fact); c > 0 && f.Kind != FactUse || c < 0 && f.Kind == FactUse {
			t.drop(old)
		} else {
			return
		}
	}
	e := &entry{fact: &f, key: key}
	t.facts[key] = e
	for _, name := range names(&f) {
		at := Subject{f.Kind, name}
		if t.subject[at] == nil {
			t.subject[at] = &list{}
		}
		t.subject[at].add(&f)
		t.note(at)
	}
	heap.Push(&t.oldest, e)
	if len(t.facts) > t.max {
		t.drop(t.oldest[0])
		t.evicted++
	}
}

func (t *Table) note(about Subject) {
	if len(t.recent) < maxRecent {
		t.recent = append(t.recent, about)
	} else {
		t.recent[t.changes%maxRecent] = about
	}
	t.changes++
}

func (t *Table) drop(e *entry) {
	delete(t.facts, e.key)
	heap.Remove(&t.oldest, e.place)
	for _, name := range names(e.fact) {
		at := Subject{e.fact.Kind, name}
		if t.subject[at].drop(e.fact); len(t.subject[at].facts) == 0 {
			delete(t.subject, at)
		}
	}
}

// names are what a fact is found by: its subject, and for some what else it is about.
func names(f *Fact) []string {
	all := [5]string{f.Subject}
	switch {
	case f.Kind == FactInterface && f.Interface != nil:
		all[1] = f.Interface.Instance
	case f.Kind == FactAddress && f.Interface != nil:
		all[1], all[2], all[3] = f.Interface.Instance, f.Interface.Allocation, f.Interface.ID
		if f.Interface.Gateway != "" {
			all[4] = f.Interface.VPC
		}
	case f.Kind == FactAddressEnd && f.Interface != nil:
		all[1], all[2], all[3] = f.Interface.PublicIP, f.Interface.Allocation, f.Interface.Association
	case f.Kind == FactAgent && f.Agent != nil:
		all[1], all[2] = f.Agent.Computer, f.Agent.IP
	case f.Kind == FactUse && f.Use != nil:
		all[1], all[2], all[3] = f.Use.Address, f.Use.Instance, f.Use.Named
	}
	used := all[:1]
	for _, name := range all[1:] {
		if name != "" && !slices.Contains(used, name) {
			used = append(used, name)
		}
	}
	return used
}

// maxRecent is how many changes a Table remembers.
const maxRecent = 1 << 13

// Since returns what the facts are about that came since mark, which an earlier call
// returned as next; whole is false where there were more than are remembered. The first
// mark is 0.
func (t *Table) Since(mark uint64) (about []Subject, next uint64, whole bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.changes-mark > maxRecent {
		return nil, t.changes, false
	}
	for ; mark < t.changes; mark++ {
		about = append(about, t.recent[mark%maxRecent])
	}
	return about, t.changes, true
}

// Changes grows with each fact that is new.
func (t *Table) Changes() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changes
}

// Of returns the facts of a kind about a subject, the earliest first. An address is
// also found by its instance, interface and allocation, that of a NAT gateway by its VPC, the
// end of one by its address, allocation and association, an interface by its instance, an SSM agent by its computer's name and
// address, a use by its address and instance. The caller leaves them alone; they are
// what was known then.
func (t *Table) Of(kind FactKind, subject string) []*Fact { return t.of(kind, subject) }

// of returns the facts of a kind about a subject, the earliest first. They belong to
// the Table.
func (t *Table) of(kind FactKind, name string) []*Fact {
	if name == "" {
		return nil
	}
	at := Subject{kind, name}
	t.mu.RLock()
	l := t.subject[at]
	if l == nil || len(l.late) == 0 {
		defer t.mu.RUnlock()
		return l.ordered()
	}
	t.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.subject[at].ordered()
}

// compare orders facts by time, then by what they say: no two different facts are
// equal, so that ties are broken by content and not by arrival.
func compare(a, b *Fact) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	if c := cmp.Compare(a.EventID, b.EventID); c != 0 {
		return c
	}
	x, _ := json.Marshal(a) // nothing in a Fact can fail to marshal
	y, _ := json.Marshal(b)
	return cmp.Or(cmp.Compare(len(x), len(y)), bytes.Compare(x, y))
}

// ages is a heap of entries, the oldest fact on top.
type ages []*entry

func (a ages) Len() int           { return len(a) }
func (a ages) Less(i, j int) bool { return a[i].before(a[j]) }
func (a ages) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

func (e *entry) before(o *entry) bool {
	c := e.fact.Time.Compare(o.fact.Time)
	return c < 0 || c == 0 && e.key < o.key
}

// Push implements heap.Interface.
func (a *ages) Push(x any) {
	if e, ok := x.(*entry); ok {
		e.place = len(*a)
		*a = append(*a, e)
	}
}

// Pop implements heap.Interface.
func (a *ages) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
