package reputation

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// How an event's value met an indicator.
const (
	howExact     = "exact"
	howPrefix    = "prefix"    // the address lies in the listed prefix
	howSubdomain = "subdomain" // the name lies below the listed one
	howPort      = "ip+port"
	howNoPort    = "ip_only" // the indicator has a port, the event does not say one
)

// table is one feed as it was loaded. It does not change.
type table struct {
	feed       Feed
	generation string
	stamp      stamp
	// racy tells that the file was so new when it was read that a later change
	// may bear the same stamp.
	racy bool

	v4      prefixes4
	v6      prefixes6
	keys    keys
	details []detail
}

func (t *table) entries() int { return len(t.v4.starts) + len(t.v6.starts) + len(t.keys.hashes) }

// hit is an entry that answers a lookup. rank is higher for the narrower one.
type hit struct {
	table  *table
	prefix netip.Prefix // of an address
	text   []byte       // of anything else
	row    row
	how    string
	rank   int
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

// key appends the entries whose key is key. below tells that key is a name above
// the one that is asked about.
func (t *table) key(hits []hit, hash uint64, key []byte, below bool, at time.Time) []hit {
	how := howExact
	if below {
		how = howSubdomain
	}
	i, end := t.keys.find(hash)
	for ; i < end && t.keys.hashes[i] == hash; i++ {
		d := &t.details[t.keys.rows[i].detail]
		if below && d.exact || t.ended(d, at) || !t.keys.confirmed(i, key) {
			continue
		}
		hits = append(hits, hit{table: t, text: t.keys.text(i), row: t.keys.rows[i], how: how, rank: len(key)})
	}
	return hits
}

// ended tells an indicator whose time was over at the time of the event.
func (t *table) ended(d *detail, at time.Time) bool {
	seen := max(d.first, d.last)
	if t.feed.Lifetime == 0 || seen == 0 || at.IsZero() {
		return false
	}
	return at.After(time.Unix(seen, 0).Add(time.Duration(t.feed.Lifetime)))
}

// threat writes the hit out.
func (h *hit) threat() enrich.Threat {
	t, d := h.table, &h.table.details[h.row.detail]
	out := enrich.Threat{
		How: h.how, Feed: t.feed.Name, Generation: t.generation, Confidence: t.feed.Confidence, Name: d.name,
		Tags: t.feed.Tags, TLP: t.feed.TLP, Port: d.port, Reports: d.reports, FirstSeen: timeOf(d.first), LastSeen: timeOf(d.last),
		Provenance: filepath.Base(t.feed.Path) + ":" + strconv.FormatUint(uint64(h.row.line), 10),
	}
	if d.name != "" {
		out.Tags = append(slices.Clip(t.feed.Tags), d.name)
	}
	out.Indicator, out.Type = h.name()
	return out
}

// name returns the indicator as it is listed, and the type ECS has for it.
func (h *hit) name() (indicator, ecsType string) {
	if h.prefix.IsValid() {
		indicator, ecsType = h.prefix.String(), "ipv6-addr"
		if h.prefix.IsSingleIP() {
			indicator = h.prefix.Addr().String()
		}
		if h.prefix.Addr().Is4() {
			ecsType = "ipv4-addr"
		}
		return indicator, ecsType
	}
	switch k, _, _ := classify(nil, h.text); k {
	case link:
		return string(h.text), "url"
	case digest:
		return string(h.text), "file"
	}
	return string(h.text), "domain-name"
}

func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
