package cloudtrail

import "slices"

// list is the facts about one subject, of which there may be many: an address that an
// office's people share has one for each of their sessions. Whoever was given facts goes
// on reading them, so that what was given is never written over.
type list struct {
	facts []*Fact // in order
	late  []*Fact // came after later ones; ordered puts them among the others
}

// add takes a fact in.
func (l *list) add(f *Fact) {
	if n := len(l.facts); n == 0 || compare(f, l.facts[n-1]) > 0 {
		l.facts = append(l.facts, f) // after what others were given
	} else {
		l.late = append(l.late, f)
	}
}

// ordered returns the facts, the earliest first. A list that is none has none.
func (l *list) ordered() []*Fact {
	if l == nil {
		return nil
	}
	if len(l.late) == 0 {
		return l.facts
	}
	slices.SortFunc(l.late, compare)
	all, early := make([]*Fact, 0, len(l.facts)+len(l.late)), l.facts
	for _, f := range l.late {
		i, _ := slices.BinarySearchFunc(early, f, compare)
		all = append(append(all, early[:i]...), f)
		early = early[i:]
	}
	l.facts, l.late = append(all, early...), nil
	return l.facts
}

// drop takes a fact out.
func (l *list) drop(f *Fact) {
	all := l.ordered()
	switch i := slices.Index(all, f); {
	case i == 0: // the oldest, most often
		l.facts = all[1:]
	case i > 0:
		l.facts = slices.Concat(all[:i], all[i+1:])
	}
}
