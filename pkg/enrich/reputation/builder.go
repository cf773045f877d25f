package reputation

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"net/netip"
)

// Why rows are refused. Each is a sentence about the row.
const (
	isDefanged  = "defanged: write it as it is met"
	isNothing   = "neither an address, a name, a URL nor a hash"
	isTooLong   = "longer than 64 KiB"
	isWide      = "prefix wider than /8 (IPv4) or /16 (IPv6)"
	isSuffix    = "public suffix: it would flag every name below it"
	isEmptyFile = "hash of an empty file"
	isWords     = "more than one word"
	isUnclosed  = "quotes do not match"
	isColumns   = "not as many columns as the header"
	isBadPort   = "port is not a number from 1 to 65535"
	notAddress  = "dst_ip is not an address"
	isBadTime   = "time is not written as 2006-01-02 15:04:05"
)

// detail is what a feed says about an indicator. Rows that say the same share one.
type detail struct {
	// name is what the indicator belongs to, such as a family of malware.
	name string
	// first and last are when it was seen, in Unix seconds, 0 for unknown.
	first, last int64
	// reports is the feed's own number: how many lists or sightings.
	reports uint32
	// port is the one the indicator is about, 0 for any.
	port uint16
	// exact keeps names below this one from matching.
	exact bool
}

// builder gathers the rows of one load of one feed.
type builder struct {
	feed  Feed
	seed  maphash.Seed
	never []netip.Prefix

	v4      []span[uint32]
	v6      []span[key6]
	keys    []rawKey
	texts   []byte
	details []detail
	known   map[detail]uint32
	scratch []byte

	refusals refusals
	// rows counts what was read, be it taken or not, and private what was kept
	// out.
	rows, private int
	// declared is the sum of what the feed says its number of rows is, -1 where
	// it does not say.
	declared int
}

func newBuilder(feed Feed, seed maphash.Seed) *builder {
	b := &builder{feed: feed, seed: seed, known: map[detail]uint32{}, declared: -1}
	if !feed.AllowPrivate {
		b.never = never()
	}
	return b
}

// declare notes a number of rows that the feed says it has.
func (b *builder) declare(n int) { b.declared = max(b.declared, 0) + n }

// refuse counts a row that is not taken.
func (b *builder) refuse(line int, text []byte, reason string) {
	b.rows++
	b.refusals.add(line, text, reason)
}

// add takes the indicator that text is, or refuses it, shown as row.
func (b *builder) add(line int, row, text []byte, d detail) {
	if reason := b.take(line, text, d); reason != "" {
		b.refuse(line, row, reason)
		return
	}
	b.rows++
}

// take returns why it does not.
func (b *builder) take(line int, text []byte, d detail) (reason string) {
	if defanged(text) {
		return isDefanged
	}
	k, prefix, key := classify(b.scratch[:0], text)
	if key != nil {
		b.scratch = key
	}
	if want := b.feed.Type; k == nothing {
		return isNothing
	} else if want != "" && want != "auto" && want != k.String() {
		return fmt.Sprintf("%s in a feed of type %s", k, want)
	}
	switch k {
	case address:
		return b.prefix(line, prefix, d)
	case domain:
		registry, company := suffix(string(key))
		if registry {
			return isSuffix
		}
		d.exact = company
	case digest:
		if emptyFile(string(key)) {
			return isEmptyFile
		}
	case link:
		if b.privateHost(text) {
			b.private++
			return ""
		}
	}
	b.key(line, key, text, d)
	return ""
}

// privateHost tells a URL whose host is an address that is kept out.
func (b *builder) privateHost(text []byte) bool {
	var buf [512]byte
	l, _ := parseURL(buf[:0], text)
	if !l.addr.IsValid() {
		return false
	}
	within, _ := private(b.never, netip.PrefixFrom(l.addr, l.addr.BitLen()))
	return within
}

func (b *builder) prefix(line int, p netip.Prefix, d detail) (reason string) {
	within, overlaps := private(b.never, p)
	least := widest6
	if p.Addr().Is4() {
		least = widest4
	}
	switch {
	case within:
		b.private++
		return ""
	case p.Bits() < least:
		return isWide
	case overlaps:
		b.private++
		return ""
	}
	r := b.row(line, d)
	if a := p.Addr(); a.Is4() {
		b.v4 = append(b.v4, span[uint32]{number4(a), r, uint8(p.Bits())})
	} else {
		b.v6 = append(b.v6, span[key6]{number6(a), r, uint8(p.Bits())})
	}
	return ""
}

func (b *builder) key(line int, key, text []byte, d detail) {
	b.keys = append(b.keys, rawKey{hashOf(b.seed, key), uint32(len(b.texts)), uint32(len(text)), b.row(line, d)})
	b.texts = append(b.texts, text...)
}

func (b *builder) row(line int, d detail) row {
	i, ok := b.known[d]
	if !ok {
		i = uint32(len(b.details))
		b.known[d] = i
		b.details = append(b.details, d)
	}
	return row{uint32(line), i}
}

// table packs what was gathered, and takes it: the builder is of no use after.
func (b *builder) table() *table {
	t := &table{feed: b.feed, details: b.details}
	t.v4 = pack4(order(b.v4, cmp.Compare[uint32]))
	t.v6 = pack6(order(b.v6, compare6))
	t.keys = packKeys(b.keys, b.texts)
	return t
}

// check tells why the load as a whole is refused, nil where it is not.
func (b *builder) check() error {
	if b.declared >= 0 && b.declared != b.rows {
		return fmt.Errorf("says it has %d entries and has %d: it is cut or mixed up", b.declared, b.rows)
	}
	if refused := b.refusals.count; refused*100 > b.feed.MaxRefused*b.rows {
		return fmt.Errorf("has %d of %d rows that cannot be used, more than %d %%: %s",
			refused, b.rows, b.feed.MaxRefused, b.refusals.reasons[0].in("line"))
	}
	return nil
}
