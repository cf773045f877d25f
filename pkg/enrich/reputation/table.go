package reputation

import (
	"net/netip"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// How an event's value met an indicator.
const (
	howExact     = "exact"
	howPrefix    = "prefix"    // the address lies in the listed prefix
	howSubdomain = "subdomain" // the name lies below the listed one
	howPort      = "ip+port"
	howNoPort    = "ip_only" // the indicator has a port, the event does not say one
	howNamePort  = "name+port"
	howNameOnly  = "name_only" // as ip_only, of a name
	howPattern   = "pattern"   // the path meets the listed pattern
	howName      = "name"      // the path's last part is the listed name
)

// table is one feed as it was loaded. It does not change.
type table struct {
	feed       Feed
	generation string
	stamp      stamp
	// racy tells that the file was so new when it was read that a later change
	// may bear the same stamp.
	racy bool
	// loaded is when it was read, and next when its URL is asked again.
	loaded, next time.Time

	v4      prefixes4
	v6      prefixes6
	keys    keys
	globs   []globEntry
	details []detail
	words   []byte // what details say more
	// idents are all entries by their hash; nil where no history is asked for. gone
	// are the delisted ones, of which there are delisted entries; told tells that times
	// are kept over restarts.
	idents   []ident
	gone     []departed
	delisted int
	told     bool
	// fresh are lists of what is new, once asked for.
	fresh *fresh
	// disk holds what toDisk moved, nil where all is in memory.
	disk  *mapped
	paths bool // whether there are paths among the keys or globs
}

// entries is how many indicators the feed lists.
func (t *table) entries() int { return t.all() - t.delisted }

// all is entries with those that are delisted.
func (t *table) all() int {
	return len(t.v4.starts) + len(t.v6.starts) + len(t.keys.hashes) + len(t.globs)
}

// address appends the prefixes that hold a, the narrowest first.
func (t *table) address(hits []hit, a netip.Addr, port uint16, at time.Time) []hit {
	if a.Is4() {
		n := number4(a)
		for i := t.v4.inward(t.v4.find(n), n); i != none; i = t.v4.inward(t.v4.around[i].parent, n) {
			hits = t.prefixHit(hits, t.v4.prefix(i), t.v4.rows[i], port, at)
		}
		return hits
	}
	n := number6(a)
	for i := t.v6.inward(t.v6.find(n), n); i != none; i = t.v6.inward(t.v6.around[i].parent, n) {
		hits = t.prefixHit(hits, t.v6.prefix(i), t.v6.rows[i], port, at)
	}
	return hits
}

func (t *table) prefixHit(hits []hit, p netip.Prefix, r row, port uint16, at time.Time) []hit {
	d := &t.details[r.detail]
	if t.ended(d, at) || d.port != 0 && port != 0 && d.port != port {
		return hits
	}
	how := howExact
	switch {
	case d.port != 0 && port == 0:
		how = howNoPort
	case d.port != 0:
		how = howPort
	case !p.IsSingleIP():
		how = howPrefix
	}
	return append(hits, hit{table: t, prefix: p, row: r, how: how, rank: p.Bits()})
}

// key appends the entries whose key is key. how is exact, or what else led from
// the value that is asked about to the key; port counts for names.
func (t *table) key(hits []hit, hash uint64, key []byte, how string, port uint16, at time.Time) []hit {
	i, end := t.keys.find(hash)
	for ; i < end && t.keys.hashes[i] == hash; i++ {
		d := &t.details[t.keys.rows[i].detail]
		if how == howSubdomain && d.exact || t.ended(d, at) || d.otherPort(port) || !t.keys.confirmed(i, d.kind, key) {
			continue
		}
		hits = append(hits, hit{table: t, text: t.keys.text(i), row: t.keys.rows[i], how: d.howNamed(how, port), rank: len(key)})
	}
	return hits
}

// otherPort tells a name that is listed with another port.
func (d *detail) otherPort(port uint16) bool {
	return d.kind == feed.Domain && d.port != 0 && port != 0 && d.port != port
}

// howNamed is how, or what there is to say of the port of a name.
func (d *detail) howNamed(how string, port uint16) string {
	switch {
	case d.kind != feed.Domain || d.port == 0 || how != howExact:
		return how
	case port == 0:
		return howNameOnly
	}
	return howNamePort
}

// pattern appends the patterns that a path meets.
func (t *table) pattern(hits []hit, path, base []byte, at time.Time) []hit {
	for i := range t.globs {
		if g := &t.globs[i]; g.matches(path, base) && !t.ended(&t.details[g.row.detail], at) {
			hits = append(hits, hit{table: t, text: []byte(g.pattern), row: g.row, how: howPattern, rank: len(g.pattern)})
		}
	}
	return hits
}

// ended tells an indicator whose time was over at the time of the event.
func (t *table) ended(d *detail, at time.Time) bool {
	if at.IsZero() {
		return d.gone != 0
	}
	if d.until != 0 && at.Unix() >= d.until || d.gone != 0 && at.Unix() >= d.gone {
		return true
	}
	seen := max(d.first, d.last)
	if t.feed.Lifetime == 0 || seen == 0 {
		return false
	}
	return at.After(time.Unix(seen, 0).Add(time.Duration(t.feed.Lifetime)))
}
