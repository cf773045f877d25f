package reputation

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// Addresses and prefixes are kept as their first address, sorted, wider ones
// first. Two prefixes are disjoint or one lies within the other, so all that hold
// an address are found by going from the last that starts at or before it to the
// ones around it. Each knows the one that is next around it.

// none ends the way outwards.
const none = ^uint32(0)

// around is what is known of a prefix beside its start.
type around struct {
	parent uint32
	bits   uint8
}

// row says where an entry stands in the feed's text and what the feed says of it.
type row struct {
	line   uint32
	detail uint32
}

// key6 is an IPv6 address as a number.
type key6 struct{ hi, lo uint64 }

func compare6(a, b key6) int {
	if a.hi != b.hi {
		return cmp.Compare(a.hi, b.hi)
	}
	return cmp.Compare(a.lo, b.lo)
}

// prefixes4 holds IPv4 prefixes. root[k] is the number of starts whose top bits
// are below k, so that a search looks at few of them.
type prefixes4 struct {
	root   []uint32
	shift  uint8
	starts []uint32
	around []around
	rows   []row
}

// find returns the last prefix that starts at or before a, or none.
func (p *prefixes4) find(a uint32) uint32 {
	if len(p.starts) == 0 {
		return none
	}
	k := a >> p.shift
	lo, hi := p.root[k], p.root[k+1]
	for lo < hi {
		if mid := (lo + hi) / 2; p.starts[mid] <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1 // none, where lo is 0
}

// inward steps from i, itself included, to the first prefix that holds a.
func (p *prefixes4) inward(i, a uint32) uint32 {
	for i != none && (a^p.starts[i])>>(32-p.around[i].bits) != 0 {
		i = p.around[i].parent
	}
	return i
}

func (p *prefixes4) prefix(i uint32) netip.Prefix {
	return netip.PrefixFrom(addr4(p.starts[i]), int(p.around[i].bits))
}

// prefixes6 holds IPv6 prefixes.
type prefixes6 struct {
	starts []key6
	around []around
	rows   []row
}

func (p *prefixes6) find(a key6) uint32 {
	lo, hi := 0, len(p.starts)
	for lo < hi {
		if mid := (lo + hi) / 2; compare6(p.starts[mid], a) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return uint32(lo) - 1
}

func (p *prefixes6) inward(i uint32, a key6) uint32 {
	for i != none && !share6(a, p.starts[i], p.around[i].bits) {
		i = p.around[i].parent
	}
	return i
}

func (p *prefixes6) prefix(i uint32) netip.Prefix {
	return netip.PrefixFrom(addr6(p.starts[i]), int(p.around[i].bits))
}

// share6 tells whether a and b have the same first n bits.
func share6(a, b key6, n uint8) bool {
	if n <= 64 {
		return (a.hi^b.hi)>>(64-n) == 0
	}
	return a.hi == b.hi && (a.lo^b.lo)>>(128-n) == 0
}

// span is a prefix before it is packed.
type span[K comparable] struct {
	start K
	row   row
	bits  uint8
}

// order sorts spans for packing and drops those that say the same twice, the
// later line of the two. Of one prefix the last detail comes first, since
// lookups go backwards.
func order[K comparable](spans []span[K], compare func(a, b K) int) []span[K] {
	slices.SortFunc(spans, func(a, b span[K]) int {
		return cmp.Or(compare(a.start, b.start), cmp.Compare(a.bits, b.bits),
			-cmp.Compare(a.row.detail, b.row.detail), cmp.Compare(a.row.line, b.row.line))
	})
	return slices.CompactFunc(spans, func(a, b span[K]) bool {
		return a.start == b.start && a.bits == b.bits && a.row.detail == b.row.detail
	})
}

// nest lays ordered spans out in the arrays of a prefix table.
func nest[K comparable](spans []span[K], holds func(outer span[K], start K) bool) ([]K, []around, []row) {
	starts, rings, rows := make([]K, len(spans)), make([]around, len(spans)), make([]row, len(spans))
	parent := none
	for i, s := range spans {
		for parent != none && !holds(spans[parent], s.start) {
			parent = rings[parent].parent
		}
		starts[i], rings[i], rows[i] = s.start, around{parent, s.bits}, s.row
		parent = uint32(i)
	}
	return starts, rings, rows
}

func pack4(spans []span[uint32]) prefixes4 {
	p := prefixes4{shift: 32}
	p.starts, p.around, p.rows = nest(spans, func(o span[uint32], start uint32) bool {
		return (o.start^start)>>(32-o.bits) == 0
	})
	if len(spans) == 0 {
		return p
	}
	top := max(1, min(bits.Len(uint(len(spans)))-2, 22))
	p.shift = uint8(32 - top)
	p.root = make([]uint32, 1<<top+1)
	for _, s := range p.starts {
		p.root[s>>p.shift+1]++
	}
	for k := 1; k < len(p.root); k++ {
		p.root[k] += p.root[k-1]
	}
	return p
}

func pack6(spans []span[key6]) (p prefixes6) {
	p.starts, p.around, p.rows = nest(spans, func(o span[key6], start key6) bool { return share6(o.start, start, o.bits) })
	return p
}
