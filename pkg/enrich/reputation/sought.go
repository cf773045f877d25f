package reputation

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// Sought gathers hashes of what an Index was asked about, by which it can be told later
// that a new indicator may have been met. A nil Sought gathers nothing. The hashes are
// the same in every process.
type Sought []uint64

// steps4 and steps6 are the lengths of prefixes that an address is noted by; a prefix
// of another length is looked for by the next shorter one.
func steps4() [4]uint8 { return [...]uint8{32, 24, 16, 8} }
func steps6() [5]uint8 { return [...]uint8{128, 64, 48, 32, 16} }

func (s *Sought) key(key []byte) {
	if s != nil {
		*s = append(*s, xxhash.Sum64(key))
	}
}

func (s *Sought) address(addr netip.Addr) {
	if s == nil {
		return
	}
	if addr.Is4() {
		n := number4(addr)
		for _, bits := range steps4() {
			*s = append(*s, hash4(n, bits))
		}
		return
	}
	n := number6(addr)
	for _, bits := range steps6() {
		*s = append(*s, hash6(n, bits))
	}
}

// parts notes the parts of a path between slashes, by which patterns are looked for.
func (s *Sought) parts(path []byte) {
	if s == nil {
		return
	}
	*s = append(*s, hashOfPart(nil))
	for len(path) > 0 {
		part, rest := cutAny(path, `/\`)
		if len(part) > 0 {
			*s = append(*s, hashOfPart(part))
		}
		path = rest[min(1, len(rest)):]
	}
}

// hashOfPart is that of a part of a path, of nil what every path has.
func hashOfPart(part []byte) uint64 {
	var buf [256]byte
	return xxhash.Sum64(append(append(buf[:0], 0xfd), part...))
}

// anchor is the longest part of a pattern that every path it matches has as one of its
// own, nil where it has none.
func anchor(pattern string) (longest []byte) {
	text := []byte(pattern)
	if !bytes.ContainsAny(text, `/\`) {
		return nil // it is about the last part
	}
	for len(text) > 0 {
		part, rest := cutAny(text, `/\`)
		if !isPattern(part) && len(part) > len(longest) {
			longest = part
		}
		text = rest[min(1, len(rest)):]
	}
	return longest
}

// hash4 is that of an address's first bits. Its text begins with a byte that no key
// begins with.
func hash4(n uint32, bits uint8) uint64 {
	var b [6]byte
	b[0], b[1] = 0xff, bits
	binary.BigEndian.PutUint32(b[2:], n>>(32-bits)<<(32-bits))
	return xxhash.Sum64(b[:])
}

func hash6(n key6, bits uint8) uint64 {
	var b [18]byte
	b[0], b[1] = 0xff, bits
	hi, lo := n.hi, n.lo
	if bits < 64 {
		hi = hi >> (64 - bits) << (64 - bits)
	}
	if bits < 128 {
		lo = lo >> (128 - max(bits, 64)) << (128 - max(bits, 64))
	}
	if bits <= 64 {
		lo = 0
	}
	binary.BigEndian.PutUint64(b[2:], hi)
	binary.BigEndian.PutUint64(b[10:], lo)
	return xxhash.Sum64(b[:])
}

// InUse is what is in use of a feed, and since when, in Unix seconds.
type InUse struct {
	Feed, Generation string
	At               int64
}

// Loads are those of the feeds that raise alarms and have a history.
func (x *Index) Loads() []InUse {
	var all []InUse
	for _, t := range x.tables {
		if t.feed.Role == "block" && t.fresh != nil {
			all = append(all, InUse{t.feed.Name, t.generation, t.loaded.Unix()})
		}
	}
	return all
}

// fresh has lists of what is new in a table, by since when.
type fresh struct {
	mu sync.Mutex
	by map[int64][]uint64
}

// Fresh are the hashes, in order, of the indicators that the feed's loads had first
// after a time in Unix seconds; what they stand for meets an event only if the event's
// Sought has one of them. The caller must not change them.
func (x *Index) Fresh(feed string, after int64) []uint64 {
	t := x.table(feed)
	if t == nil || t.fresh == nil {
		return nil
	}
	t.fresh.mu.Lock()
	defer t.fresh.mu.Unlock()
	if all, ok := t.fresh.by[after]; ok {
		return all
	}
	var all []uint64
	for _, id := range t.idents {
		if int64(id.seen) <= after {
			continue
		}
		if hash, ok := t.sought(id.entry); ok {
			all = append(all, hash)
		}
	}
	runtime.KeepAlive(t)
	slices.Sort(all)
	all = slices.Compact(all)
	if t.fresh.by == nil || len(t.fresh.by) > 64 {
		t.fresh.by = map[int64][]uint64{}
	}
	t.fresh.by[after] = all
	return all
}

// sought is the hash by which Sought has what an entry meets.
func (t *table) sought(n uint32) (hash uint64, ok bool) {
	i := int(n)
	if i < len(t.v4.starts) {
		bits := t.v4.around[i].bits
		for _, step := range steps4() {
			if step <= bits {
				return hash4(t.v4.starts[i], step), true
			}
		}
		return 0, false
	}
	if i -= len(t.v4.starts); i < len(t.v6.starts) {
		bits := t.v6.around[i].bits
		for _, step := range steps6() {
			if step <= bits {
				return hash6(t.v6.starts[i], step), true
			}
		}
		return 0, false
	}
	if i -= len(t.v6.starts); i < len(t.keys.hashes) {
		return identOfText(t.details[t.keys.rows[i].detail].kind, t.keys.text(uint32(i)), 0), true
	}
	return hashOfPart(anchor(t.globs[i-len(t.keys.hashes)].pattern)), true
}
