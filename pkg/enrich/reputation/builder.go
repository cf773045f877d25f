package reputation

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/stackjoin/stackjoin/internal/glob"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// Why rows are refused. Each is a sentence about the row.
const (
	isDefanged  = "defanged: write it as it is met"
	isNothing   = "neither an address, a name, a URL nor a hash"
	isWide      = "prefix wider than /8 (IPv4) or /16 (IPv6)"
	isWidePath  = "pattern that would match nearly every path"
	isEmptyFile = "hash of an empty file"
	isTooMany   = "more patterns of paths than are matched"
)

// maxGlobs bounds the patterns of paths, which are tried one by one.
const maxGlobs = 1000

// builder gathers the rows of one load of one feed. It is the feed.Sink of its
// decoder.
type builder struct {
	feed  Feed
	kind  feed.Kind
	block bool
	seed  maphash.Seed
	never []netip.Prefix

	v4      []span[uint32]
	v6      []span[key6]
	keys    []rawKey
	texts   []byte
	globs   []globEntry
	details details
	scratch []byte
	// seen are what newer documents of a feed of changes said already; nil for
	// other feeds.
	seen map[string]int
	// document counts the documents up to the one that is read.
	document int
	// gone and generation are of the delisted indicator that is taken.
	gone       int64
	generation string
	// many tells that the feed has more than one document.
	many bool

	refusals, skips refusals
	// rows counts what was read, be it taken or not, private what was kept out,
	// and older what a newer document says again.
	rows, private, older int
	// declared is the sum of what a document says its number of rows is, -1 where
	// it does not say, and counted the rows of the documents before it.
	declared, counted int
}

// globEntry is a pattern of paths.
type globEntry struct {
	pattern string
	row     row
}

func newBuilder(f Feed, seed maphash.Seed) *builder {
	f = f.Resolved()
	b := &builder{feed: f, block: f.Role == "block", seed: seed, details: newDetails(), declared: -1}
	b.kind, _ = feed.KindOf(trimAuto(f.Type))
	if b.block && !f.AllowPrivate {
		b.never = never()
	}
	return b
}

func trimAuto(typ string) string {
	if typ == "auto" {
		return ""
	}
	return typ
}

// Declare notes a number of rows that the feed says it has.
func (b *builder) Declare(n int) { b.declared = max(b.declared, 0) + n }

// Leave counts a row that is not taken.
func (b *builder) Leave(r feed.Row, reason string, broken bool) {
	b.rows++
	if broken {
		b.refusals.add(r, reason)
	} else {
		b.skips.add(r, reason)
	}
}

// Add takes an indicator or refuses it.
func (b *builder) Add(r feed.Row, i *feed.Indicator) {
	if reason := b.take(r, i); reason != "" {
		b.Leave(r, reason, true)
		return
	}
	b.rows++
}

// take returns why it does not.
func (b *builder) take(r feed.Row, i *feed.Indicator) (reason string) {
	if len(i.Value) > maxValue {
		return isNothing
	}
	if i.Kind < feed.Path && defanged(i.Value) {
		return isDefanged
	}
	k, prefix, key := b.what(i)
	if k == feed.Any {
		return notA(i.Kind)
	}
	if b.kind != feed.Any && k != b.kind || i.Kind != feed.Any && k != i.Kind {
		return fmt.Sprintf("%s in a feed of type %s", k, cmp.Or(b.kind, i.Kind))
	}
	if b.olderThan(key, prefix, i.Port) {
		return ""
	}
	switch k {
	case feed.IP:
		return b.prefix(r, prefix, i)
	case feed.Domain:
		if registry, company := suffix(string(key)); b.feed.Match == "exact" || b.block && (registry || company) {
			i.Exact = true
		}
	case feed.Hash:
		if b.block && emptyFile(string(key)) {
			return isEmptyFile
		}
	case feed.URL:
		if b.privateHost(i.Value) {
			b.private++
			return ""
		}
		if b.feed.DeriveHost {
			b.host(r, i)
		}
	case feed.Path:
		if isPattern(i.Value) {
			return b.glob(r, key[1:], i)
		}
	}
	b.key(r, k, key, i)
	return ""
}

func notA(k feed.Kind) string {
	if k == feed.Any {
		return isNothing
	}
	return "not a value of type " + k.String()
}

// what tells the kind of an indicator and its key. A value of the kinds that are
// known by their look is taken for what it looks like, so that a column that
// holds something else than its header says is noticed.
func (b *builder) what(i *feed.Indicator) (feed.Kind, netip.Prefix, []byte) {
	k, prefix, key := feed.Any, netip.Prefix{}, []byte(nil)
	if i.Kind <= feed.Hash && i.Kind != feed.URL {
		k, prefix, key = classify(b.scratch[:0], i.Value)
	}
	if k == feed.Any && i.Kind != feed.Any && i.Kind != feed.IP {
		var ok bool
		if key, ok = appendKey(b.scratch[:0], i.Kind, i.Value); ok {
			k = i.Kind
		}
	}
	if key != nil {
		b.scratch = key
	}
	return k, prefix, key
}

// olderThan tells what a newer document said already.
func (b *builder) olderThan(key []byte, prefix netip.Prefix, port uint16) bool {
	if b.seen == nil {
		return false
	}
	name := fmt.Sprint(prefix, port, string(key))
	if from, ok := b.seen[name]; ok && from != b.document {
		b.older++
		return true
	}
	b.seen[name] = b.document
	return false
}

// privateHost tells a URL whose host is an address that is kept out.
func (b *builder) privateHost(text []byte) bool {
	var buf [512]byte
	if schemeLen(text) == 0 {
		text = append([]byte("http://"), text...)
	}
	l, _ := parseURL(buf[:0], text)
	if !l.addr.IsValid() {
		return false
	}
	within, _ := private(b.never, netip.PrefixFrom(l.addr, l.addr.BitLen()))
	return within
}

func (b *builder) prefix(r feed.Row, p netip.Prefix, i *feed.Indicator) (reason string) {
	within, overlaps := private(b.never, p)
	least := widest6
	if p.Addr().Is4() {
		least = widest4
	}
	switch {
	case within:
		b.private++
		return ""
	case b.block && p.Bits() < least:
		return isWide
	case overlaps:
		b.private++
		return ""
	}
	row := b.row(r, feed.IP, i)
	if a := p.Addr(); a.Is4() {
		b.v4 = append(b.v4, span[uint32]{number4(a), row, uint8(p.Bits())})
	} else {
		b.v6 = append(b.v6, span[key6]{number6(a), row, uint8(p.Bits())})
	}
	return ""
}

func (b *builder) key(r feed.Row, k feed.Kind, key []byte, i *feed.Indicator) {
	b.keys = append(b.keys, rawKey{hashOf(b.seed, key), uint32(len(b.texts)), uint32(len(i.Value)), b.row(r, k, i)})
	b.texts = append(b.texts, i.Value...)
}

// isPattern tells a path that is a pattern.
func isPattern(path []byte) bool { return bytes.ContainsAny(path, "*?") }

// glob takes a pattern of paths. One without three letters of its own would meet
// nearly everything.
func (b *builder) glob(r feed.Row, pattern []byte, i *feed.Indicator) (reason string) {
	switch {
	case len(bytes.Trim(pattern, `*?/\.`)) < 3:
		return isWidePath
	case len(b.globs) >= maxGlobs:
		return isTooMany
	}
	b.globs = append(b.globs, globEntry{string(pattern), b.row(r, feed.Path, i)})
	return ""
}

func (b *builder) row(r feed.Row, k feed.Kind, i *feed.Indicator) row {
	document := ""
	if b.many {
		document = r.Document
	}
	return row{uint32(r.Line), b.details.add(k, i, standing{document, b.generation, b.gone})}
}

// table packs what was gathered, and takes it: the builder is of no use after.
func (b *builder) table() *table {
	t := &table{feed: b.feed, details: b.details.all, words: b.details.texts, globs: b.globs}
	t.paths = slices.ContainsFunc(t.details, func(d detail) bool { return d.kind == feed.Path })
	t.v4 = pack4(order(b.v4, cmp.Compare[uint32]))
	t.v6 = pack6(order(b.v6, compare6))
	t.keys = packKeys(b.keys, b.texts, func(r row) feed.Kind { return t.details[r.detail].kind })
	return t
}

// checkDocument holds what was read so far against the number of rows that its
// document says it has.
func (b *builder) checkDocument() error {
	n := b.rows - b.counted
	declared := b.declared
	b.counted, b.declared = b.rows, -1
	if declared >= 0 && declared != n {
		return fmt.Errorf("says it has %d entries and has %d: it is cut or mixed up", declared, n)
	}
	return nil
}

// check tells why the load as a whole is refused, nil where it is not.
func (b *builder) check() error {
	if blank := b.skips.of(feed.NoValue) + b.skips.of(feed.OneLabel); b.rows > 0 && blank == b.rows {
		return fmt.Errorf("has no indicator in %d rows: it is of another form", b.rows)
	}
	if refused := b.refusals.count; refused*100 > b.feed.MaxRefused*b.rows {
		return fmt.Errorf("has %d of %d rows that cannot be used, more than %d %%: %s",
			refused, b.rows, b.feed.MaxRefused, b.refusals.reasons[0].in(""))
	}
	return nil
}

// matches tells whether a path meets the pattern; one without a slash is about
// the last part.
func (g *globEntry) matches(path, base []byte) bool {
	if !bytes.ContainsAny([]byte(g.pattern), `/\`) {
		path = base
	}
	return glob.Match(g.pattern, path)
}
