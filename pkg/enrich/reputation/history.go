package reputation

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// maxDelisted bounds the delisted indicators of one feed that still match. The last
// to go are kept.
const maxDelisted = 1 << 18

// ident stands for an indicator by what it is about, whatever its feed says of it,
// and is the same in every process. Two of one hash are taken for one: all that
// hangs on it is since when the feed has it.
type ident struct {
	hash uint64
	// seen is since when the feed has it here, in Unix seconds.
	seen uint32
	// entry is its number in the table: prefixes of IPv4, of IPv6, keys, patterns.
	entry uint32
}

// identBytes is the size of an ident in a table.
const identBytes = 16

func identOfKey(key []byte, port uint16) uint64 {
	if port == 0 {
		return xxhash.Sum64(key)
	}
	var buf [512]byte
	return xxhash.Sum64(binary.BigEndian.AppendUint16(append(buf[:0], key...), port))
}

// identOfPrefix begins with a byte that no key begins with.
func identOfPrefix(p netip.Prefix, port uint16) uint64 {
	var buf [24]byte
	raw := p.Addr().As16()
	family := byte(6)
	if p.Addr().Is4() {
		family = 4
	}
	return identOfKey(append(append(append(buf[:0], 0xff, family), raw[:]...), byte(p.Bits())), port)
}

func identOfPattern(pattern string) uint64 { return identOfKey(append([]byte{0xfe}, pattern...), 0) }

// departed is an indicator that its feed no longer lists, with all it said.
type departed struct {
	feed.Indicator
	Line                 int
	Document, Generation string
	// Seen and Gone are since when and until when the feed had it here, in Unix
	// seconds.
	Seen, Gone int64
}

// past is what is known of a feed's earlier loads; nil for nothing.
type past struct {
	idents []ident // by hash
	gone   []departed
	// loaded is when that was, in Unix seconds.
	loaded int64
	// table is what was in use, nil where only the rest is known.
	table *table
}

// pastOf is what a table knows, for the next load of the same feed.
func pastOf(t *table) *past {
	return &past{idents: t.idents, gone: t.gone, loaded: t.loaded.Unix(), table: t}
}

// history is what one load has to know to go on with a feed's past.
type history struct {
	// keep is how long delisted indicators still match what happened before, 0 for
	// not at all.
	keep time.Duration
	// dir is where a large table is put, a folder of this feed; empty for the system's.
	dir string
	// told tells that the past is kept over restarts, so that since when an indicator
	// is here means something.
	told bool
	// written is when the list was, as its file or server tells; zero where neither does.
	written time.Time
	// before finds the past for a load of this generation.
	before func(generation string) *past
}

// departures are the indicators of earlier loads that are not among now, the hashes
// of what is listed, in order. They left at the time given, those that left long before
// now are forgotten.
func (p *past) departures(listing []uint64, at, now, keep int64) (all []departed) {
	listed := func(hash uint64) bool {
		_, ok := slices.BinarySearch(listing, hash)
		return ok
	}
	for _, d := range p.gone {
		if d.Gone+keep > now && !listed(d.ident()) {
			all = append(all, d)
		}
	}
	if p.table == nil {
		return all
	}
	defer runtime.KeepAlive(p.table)
	i := 0
	for _, id := range p.idents {
		for i < len(listing) && listing[i] < id.hash {
			i++
		}
		if i < len(listing) && listing[i] == id.hash || len(all) >= maxDelisted {
			continue
		}
		if d, ok := p.table.departure(id); ok {
			d.Gone = at
			all = append(all, d)
		}
	}
	return all
}

// ident is that of the indicator.
func (d *departed) ident() uint64 {
	if d.Kind == feed.IP {
		p, _ := parsePrefix(d.Value)
		return identOfPrefix(p, d.Port)
	}
	if d.Kind == feed.Path && isPattern(d.Value) {
		return identOfPattern(string(d.Value))
	}
	key, _ := appendKey(nil, d.Kind, d.Value)
	return identOfKey(key, d.Port)
}

// departure tells all of an entry; ok is false for one that left before.
func (t *table) departure(id ident) (d departed, ok bool) {
	r, text := t.entry(id.entry)
	about := &t.details[r.detail]
	if about.gone != 0 {
		return d, false
	}
	m := t.more(r)
	return departed{
		Indicator: feed.Indicator{
			Kind: about.kind, Value: text, Port: about.port, Exact: about.exact,
			Detail: feed.Detail{
				Name: m.name, ID: m.id, Event: m.event, Reference: m.reference, TLP: m.tlp, Tags: m.tags, Attack: m.attack,
				Confidence: about.confidence, FirstSeen: about.first, LastSeen: about.last, ValidFrom: m.from, ValidUntil: about.until,
				Reports: about.reports,
			},
		},
		Line: int(r.line), Document: m.document, Generation: t.generation, Seen: int64(id.seen),
	}, true
}

// entry is the row and the text, a copy, of an entry by its number.
func (t *table) entry(n uint32) (row, []byte) {
	i := int(n)
	if i < len(t.v4.starts) {
		return t.v4.rows[i], []byte(t.v4.prefix(n).String())
	}
	if i -= len(t.v4.starts); i < len(t.v6.starts) {
		return t.v6.rows[i], []byte(t.v6.prefix(uint32(i)).String())
	}
	if i -= len(t.v6.starts); i < len(t.keys.hashes) {
		return t.keys.rows[i], slices.Clone(t.keys.text(uint32(i)))
	}
	g := &t.globs[i-len(t.keys.hashes)]
	return g.row, []byte(g.pattern)
}

// hashes are the idents' hashes of what was gathered, in order.
func (b *builder) hashes() []uint64 {
	all := make([]uint64, 0, b.count())
	port := func(r row) uint16 { return b.details.all[r.detail].port }
	for _, s := range b.v4 {
		all = append(all, identOfPrefix(netip.PrefixFrom(addr4(s.start), int(s.bits)), port(s.row)))
	}
	for _, s := range b.v6 {
		all = append(all, identOfPrefix(netip.PrefixFrom(addr6(s.start), int(s.bits)), port(s.row)))
	}
	for _, k := range b.keys {
		all = append(all, identOfText(b.details.all[k.row.detail].kind, b.texts[k.from:][:k.size], port(k.row)))
	}
	for _, g := range b.globs {
		all = append(all, identOfPattern(g.pattern))
	}
	slices.Sort(all)
	return all
}

func identOfText(k feed.Kind, text []byte, port uint16) uint64 {
	var buf [512]byte
	key, _ := appendKey(buf[:0], k, text)
	return identOfKey(key, port)
}

// goOn takes in what is left of the feed's past and returns the table with it. at is
// the time of the load.
func (b *builder) goOn(h history, generation string, at time.Time) *table {
	var before *past
	if h.before != nil {
		before = h.before(generation)
	}
	now := at.Unix()
	var gone []departed
	listed := b.count()
	switch { // the times of two loads are told apart by whole seconds
	case before == nil:
	case before.table != nil:
		now = max(now, before.loaded+1)
	default:
		now = max(now, before.loaded)
	}
	if before != nil && h.keep > 0 {
		gone = before.departures(b.hashes(), h.left(before, now), now, int64(h.keep/time.Second))
		for i := range gone {
			b.depart(&gone[i])
		}
	}
	delisted := b.count() - listed
	t := b.table()
	t.generation, t.loaded, t.gone, t.told = generation, time.Unix(now, int64(at.Nanosecond())), gone, h.told
	t.delisted = delisted
	if h.before != nil {
		t.identify(before, uint32(now))
		t.fresh = &fresh{}
	}
	return t
}

// left is when the indicators left that a load no longer has: when the list was written,
// which every process is told alike, where that was after the load before, by which they
// were listed; else now, the time of the load.
func (h *history) left(before *past, now int64) int64 {
	if at := h.written.Unix(); !h.written.IsZero() && at > before.loaded && at < now {
		return at
	}
	return now
}

// count is how many entries were gathered.
func (b *builder) count() int { return len(b.v4) + len(b.v6) + len(b.keys) + len(b.globs) }

// depart takes a delisted indicator.
func (b *builder) depart(d *departed) {
	b.gone, b.generation = d.Gone, d.Generation
	defer func() { b.gone, b.generation = 0, "" }()
	r, i := feed.Row{Document: d.Document, Line: d.Line}, d.Indicator
	many := b.many
	b.many = d.Document != ""
	defer func() { b.many = many }()
	switch {
	case i.Kind == feed.IP:
		if p, ok := parsePrefix(i.Value); ok {
			_ = b.prefix(r, p, &i) // what is not wanted today is not wanted of yesterday
		}
	case i.Kind == feed.Path && isPattern(i.Value):
		_ = b.glob(r, i.Value, &i)
	default:
		if key, ok := appendKey(nil, i.Kind, i.Value); ok {
			b.key(r, i.Kind, key, &i)
		}
	}
}

// identify gives every entry its ident: one that was there before keeps its time.
func (t *table) identify(before *past, now uint32) {
	t.idents = make([]ident, 0, t.all())
	add := func(hash uint64) { t.idents = append(t.idents, ident{hash, now, uint32(len(t.idents))}) }
	port := func(r row) uint16 { return t.details[r.detail].port }
	for i, r := range t.v4.rows {
		add(identOfPrefix(t.v4.prefix(uint32(i)), port(r)))
	}
	for i, r := range t.v6.rows {
		add(identOfPrefix(t.v6.prefix(uint32(i)), port(r)))
	}
	for i, r := range t.keys.rows {
		add(identOfText(t.details[r.detail].kind, t.keys.text(uint32(i)), port(r)))
	}
	for _, g := range t.globs {
		add(identOfPattern(g.pattern))
	}
	slices.SortFunc(t.idents, func(a, b ident) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.entry, b.entry)) })
	if before == nil {
		return
	}
	left := map[uint64]uint32{}
	for i := range before.gone {
		left[before.gone[i].ident()] = uint32(before.gone[i].Seen)
	}
	k := 0
	for i := range t.idents {
		id := &t.idents[i]
		for k < len(before.idents) && before.idents[k].hash < id.hash {
			k++
		}
		if k < len(before.idents) && before.idents[k].hash == id.hash {
			id.seen = before.idents[k].seen
		} else if seen, ok := left[id.hash]; ok {
			id.seen = seen
		}
	}
	runtime.KeepAlive(before)
}

// seen is since when the feed has an entry here, 0 where nothing is known.
func (t *table) seen(hash uint64) int64 {
	i, ok := slices.BinarySearchFunc(t.idents, hash, func(id ident, hash uint64) int { return cmp.Compare(id.hash, hash) })
	if !ok {
		return 0
	}
	return int64(t.idents[i].seen)
}

// ident is that of what the hit met.
func (h *hit) ident() uint64 {
	d := &h.table.details[h.row.detail]
	switch {
	case h.prefix.IsValid():
		return identOfPrefix(h.prefix, d.port)
	case h.how == howPattern:
		return identOfPattern(string(h.text))
	}
	return identOfText(d.kind, h.text, d.port)
}
