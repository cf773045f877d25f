package owner

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Bounds of what a Table answers.
const (
	// skew is how far a sensor's clock may be from a host's, seen how long after an
	// address was last seen it is still sure to be the host's.
	skew = 5 * time.Second
	seen = 2 * tellEvery
	// MaxOwners is how many hosts may share an address. One that more have, as bridges
	// of containers have, is nobody's.
	MaxOwners = 8
	// maxHosts bounds the hosts remembered of one address, maxAddresses the addresses.
	maxHosts     = 64
	maxAddresses = 1 << 20
)

// Place is a host and the partition where its rows come in.
type Place struct {
	Host      enrich.Host
	Partition int32
}

// Table holds facts and answers from them. What it answers depends on the facts alone,
// never on the order in which they came. It is safe for concurrent use.
type Table struct {
	mu        sync.RWMutex
	addresses map[netip.Addr]*holders
	instances map[string]Place
	keys      map[enrich.Host]string // of hosts' rows, where they are not the hosts
	changes   uint64
	full      int64
}

// holders are the facts about one address.
type holders struct {
	facts   []Fact // one for each host, by its name
	changes uint64
}

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{addresses: map[netip.Addr]*holders{}, instances: map[string]Place{}, keys: map[enrich.Host]string{}}
}

// Add takes a fact in; a later one of the same key replaces it.
func (t *Table) Add(f *Fact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.keyed(f)
	if f.Kind == HostInstance {
		t.instances[f.Instance] = Place{f.Host, f.Partition}
		return
	}
	all := t.addresses[f.Address]
	if all == nil {
		if len(t.addresses) >= maxAddresses {
			t.full++
			return
		}
		all = &holders{}
		t.addresses[f.Address] = all
	}
	all.changes++
	i, known := all.find(f.Host)
	switch {
	case known:
		all.facts[i] = *f
	case len(all.facts) >= maxHosts:
		t.full++
	default:
		all.facts = slices.Insert(all.facts, i, *f)
	}
}

// keyed takes in what a host's rows are keyed by, where a fact tells it.
func (t *Table) keyed(f *Fact) {
	switch {
	case f.RowsKey == "":
	case f.RowsKey == string(f.Host):
		delete(t.keys, f.Host)
	case len(t.keys) < maxAddresses:
		t.keys[f.Host] = f.RowsKey
	}
}

// Key is what a host's rows are keyed by: the host, unless its facts tell otherwise.
func (t *Table) Key(host enrich.Host) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if key, ok := t.keys[host]; ok {
		return key
	}
	return string(host)
}

func (h *holders) find(host enrich.Host) (i int, known bool) {
	return slices.BinarySearchFunc(h.facts, host, func(f Fact, h enrich.Host) int { return strings.Compare(string(f.Host), string(h)) })
}

// Changes grows with each fact: what was asked before is worth asking again.
func (t *Table) Changes() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changes
}

// Size is the number of addresses held, and of facts for which there was no room.
func (t *Table) Size() (addresses int, refused int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.addresses), t.full
}

// Instance is the host that is a cloud instance.
func (t *Table) Instance(id string) (Place, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, ok := t.instances[id]
	return p, ok
}

// Known grows with each fact about the address; 0 is none.
func (t *Table) Known(addr netip.Addr) (changes uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if all := t.addresses[addr]; all != nil {
		changes = all.changes
	}
	return changes
}

// Owners are the hosts that may have had an address at a time, by name: those that were
// seen with it before and after; else those that were around then; else the one that was
// seen with it last before, unless it gave it up; else the only one that ever had it.
// They are confirmed when facts of a later time say so of each of them: what hosts tell
// of other times changes nothing any more.
func (t *Table) Owners(addr netip.Addr, at time.Time) (owners []Place, confirmed bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := t.addresses[addr]
	if all == nil || len(all.facts) >= maxHosts {
		return nil, false
	}
	if owners = between(all.facts, at); len(owners) > 0 {
		return few(owners), true
	}
	return few(around(all.facts, at)), false
}

// few is all, or none when there are too many of them.
func few(all []Place) []Place {
	if len(all) > MaxOwners {
		return nil
	}
	return all
}

// between are the hosts that were seen with an address before a time and after it.
func between(all []Fact, at time.Time) (owners []Place) {
	for i := range all {
		if f := &all[i]; !at.Before(f.From) && !at.After(f.To) && !f.without(at, 0) {
			owners = append(owners, Place{f.Host, f.Partition})
		}
	}
	return owners
}

// around are the hosts that may have had an address at a time for which nobody vouches.
func around(all []Fact, at time.Time) []Place {
	var owners, last []Place
	var ended time.Time // of last
	for i := range all {
		f := &all[i]
		switch {
		case f.holds(at):
			owners = append(owners, Place{f.Host, f.Partition})
		case !f.To.Before(at) || f.Ended || f.To.Before(ended):
		case f.To.Equal(ended):
			last = append(last, Place{f.Host, f.Partition})
		default:
			last, ended = []Place{{f.Host, f.Partition}}, f.To
		}
	}
	switch {
	case len(owners) > 0:
		return owners
	case len(last) > 0:
		return last
	case len(all) == 1 && at.Before(all[0].From):
		return []Place{{all[0].Host, all[0].Partition}}
	}
	return nil
}

// holds tells whether the host was seen with the address around a time.
func (f *Fact) holds(at time.Time) bool {
	end := f.To.Add(seen)
	if f.Ended {
		end = f.To.Add(skew)
	}
	return !at.Before(f.From.Add(-skew)) && !at.After(end) && !f.without(at, skew)
}

// without tells whether a time is in one of the gaps, and so far from its ends.
func (f *Fact) without(at time.Time, far time.Duration) bool {
	for _, g := range f.Gaps {
		if at.After(g.From.Add(far)) && at.Before(g.To.Add(-far)) {
			return true
		}
	}
	return false
}
