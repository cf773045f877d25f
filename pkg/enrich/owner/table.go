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
	// maxOwners is how many hosts may share an address. One that more have, as bridges
	// of containers have, is nobody's.
	maxOwners = 8
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
	addresses map[netip.Addr][]Fact // one for each host, by its name
	instances map[string]Place
	changes   uint64
	full      int64
}

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{addresses: map[netip.Addr][]Fact{}, instances: map[string]Place{}}
}

// Add takes a fact in; a later one of the same key replaces it.
func (t *Table) Add(f *Fact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	if f.Kind == HostInstance {
		t.instances[f.Instance] = Place{f.Host, f.Partition}
		return
	}
	all := t.addresses[f.Address]
	i, known := slices.BinarySearchFunc(all, f.Host, func(f Fact, h enrich.Host) int { return strings.Compare(string(f.Host), string(h)) })
	switch {
	case known:
		all[i] = *f
	case len(all) >= maxHosts || len(all) == 0 && len(t.addresses) >= maxAddresses:
		t.full++
	default:
		t.addresses[f.Address] = slices.Insert(all, i, *f)
	}
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

// Knows tells whether any host is known to have had the address.
func (t *Table) Knows(addr netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.addresses[addr]) > 0
}

// Owners are the hosts that may have had an address at a time, by name: those that were
// seen with it around then; else the one that was seen with it last before, unless it
// gave it up; else the only one that ever had it.
func (t *Table) Owners(addr netip.Addr, at time.Time) []Place {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := t.addresses[addr]
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
	case len(all) >= maxHosts, len(owners) > maxOwners, len(last) > maxOwners:
		return nil
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
	return !at.Before(f.From.Add(-skew)) && !at.After(end)
}
