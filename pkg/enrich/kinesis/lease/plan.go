package lease

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
)

// plan is what one worker sets out to do: take what nobody reads, and ask others to
// give up what they have too much of.
type plan struct {
	take, ask []*Lease
}

// makePlan makes the plan of the worker named me over the leases that may be read and
// are not ended. expired tells which have a holder who died. Leases are divided evenly
// among the workers that hold any, and me; nobody is asked who has but one more.
func makePlan(me string, leases []*Lease, expired func(*Lease) bool) plan {
	loads := map[string]int{me: 0}
	var free []*Lease
	for _, l := range leases {
		if l.Holder() == "" || expired(l) {
			free = append(free, l)
			continue
		}
		loads[cmp.Or(l.Owner, l.Finishing)]++
	}
	fair := (len(leases) + len(loads) - 1) / len(loads)
	var p plan
	sortFor(me, free)
	for len(free) > 0 && loads[me] < fair {
		p.take, free = append(p.take, free[0]), free[1:]
		loads[me]++
	}
	if len(p.take) > 0 {
		return p // what is asked of others is better known the next time
	}
	for loads[me] < fair {
		l := spare(me, leases, loads, p.ask)
		if l == nil {
			break
		}
		p.ask = append(p.ask, l)
		loads[l.Owner]--
		loads[me]++
	}
	return p
}

// spare is a lease of the worker who has the most, if that has at least two more than
// me; nil for none.
func spare(me string, leases []*Lease, loads map[string]int, asked []*Lease) *Lease {
	most := slices.MaxFunc(slices.Sorted(maps.Keys(loads)), func(a, b string) int { return cmp.Compare(loads[a], loads[b]) })
	if loads[most] < loads[me]+2 {
		return nil
	}
	var theirs []*Lease
	for _, l := range leases {
		if l.Owner == most && l.Finishing == "" && !slices.Contains(asked, l) {
			theirs = append(theirs, l)
		}
	}
	sortFor(me, theirs)
	if len(theirs) == 0 {
		return nil
	}
	return theirs[0]
}

// sortFor puts leases into an order of each worker's own, so that workers who start
// together do not all reach for the same.
func sortFor(me string, leases []*Lease) {
	rank := func(l *Lease) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(me + "/" + l.Key)) // never fails
		return h.Sum64()
	}
	slices.SortFunc(leases, func(a, b *Lease) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Key, b.Key)) })
}
