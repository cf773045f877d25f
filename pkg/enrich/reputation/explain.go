package reputation

import (
	"bytes"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// Answer is all that the feeds say about one reading of a value.
type Answer struct {
	// As is how the value was read, a word of feed.Kinds; Asked is what was
	// looked up.
	As, Asked string
	// Matches are the hits of all lists, those that only suppress, downgrade or
	// label too: their Role tells.
	Matches []enrich.Threat
	// Note tells why no list may know such a value, empty where nothing does.
	Note string
}

// Explain looks a value up as everything it may be. at is the time that decides
// whether an indicator's lifetime was over, zero for never. Since it is for a
// person, it may allocate.
func (x *Index) Explain(text string, at time.Time) (all []Answer) {
	e := explainer{x: x, at: at}
	defer runtime.KeepAlive(x)
	value := []byte(text)
	if prefix, ok := parsePrefix(value); ok {
		e.address(prefix, 0)
		return e.all
	}
	if host, port, ok := hostPort(value); ok {
		e.address(netip.PrefixFrom(host, host.BitLen()), port)
		return e.all
	}
	if schemeLen(value) > 0 {
		e.url(value)
	} else {
		e.domain(nameAndPort(value))
	}
	for k := feed.Hash; k <= feed.Cert; k++ {
		e.key(k, value)
	}
	if schemeLen(value) == 0 && x.paths() && bytes.ContainsAny(value, `/\.`) {
		e.add(feed.Path, text, x.path(nil, value, at, nil), "")
	}
	for _, column := range x.columns {
		if got := x.Value(nil, column, value, at); len(got) > 0 {
			e.all = append(e.all, Answer{As: feed.Value.String() + " of " + column, Asked: text, Matches: got})
		}
	}
	return e.all
}

func hostPort(text []byte) (netip.Addr, uint16, bool) {
	host, digits, ok := splitPort(text)
	if !ok || len(digits) == 0 {
		return netip.Addr{}, 0, false
	}
	port, ok := parsePort(digits)
	addr, isAddress := parseAddr(bytes.Trim(host, "[]"))
	return addr, port, ok && isAddress
}

type explainer struct {
	x   *Index
	at  time.Time
	all []Answer
}

func (e *explainer) add(k feed.Kind, asked string, hits []hit, note string) {
	e.all = append(e.all, Answer{As: k.String(), Asked: asked, Matches: appendThreats(nil, hits, true, e.at), Note: note})
}

// address asks about an address, or for the lists that hold a whole prefix.
func (e *explainer) address(p netip.Prefix, port uint16) {
	var hits []hit
	for _, t := range e.x.tables {
		hits = t.address(hits, p.Addr(), port, e.at)
	}
	hits = slices.DeleteFunc(hits, func(h hit) bool { return h.prefix.Bits() > p.Bits() })
	note, asked := "", p.String()
	if p.IsSingleIP() {
		asked = p.Addr().String()
	}
	if within, _ := private(never(), p); within {
		note = "private or reserved: lists that block are loaded without such addresses, unless they say allow_private"
	}
	e.add(feed.IP, asked, hits, note)
}

// domain asks about a name that was used with a port, 0 for unknown.
func (e *explainer) domain(name []byte, port uint16) {
	key, ok := appendDomain(nil, name)
	if !ok {
		return
	}
	var hits []hit
	asked := string(key)
	for how := howExact; bytes.IndexByte(key, '.') >= 0; how = howSubdomain {
		hits = e.x.key(hits, key, how, port, e.at)
		key = key[bytes.IndexByte(key, '.')+1:]
	}
	note := ""
	if registry, company := suffix(asked); registry || company {
		note = "public suffix: listed or not, it says nothing about the names below it"
	}
	e.add(feed.Domain, asked, hits, note)
}

// url asks about a URL and about its host.
func (e *explainer) url(text []byte) {
	l, ok := parseURL(nil, text)
	if !ok {
		return
	}
	e.add(feed.URL, string(l.key), e.x.key(nil, l.key, howExact, 0, e.at), "")
	if l.addr.IsValid() {
		e.address(netip.PrefixFrom(l.addr, l.addr.BitLen()), l.port)
	} else {
		e.domain(l.host, l.port)
	}
}

func (e *explainer) key(k feed.Kind, text []byte) {
	key, ok := appendKey(nil, k, text)
	if !ok {
		return
	}
	note := ""
	if k == feed.Hash && emptyFile(string(key)) {
		note = "hash of an empty file: lists that block are loaded without it"
	}
	e.add(k, string(bytes.TrimLeft(key, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b")), e.x.key(nil, key, howExact, 0, e.at), note)
}

// nameAndPort takes the port off a name.
func nameAndPort(text []byte) (name []byte, port uint16) {
	host, digits, ok := splitPort(text)
	if port, hasPort := parsePort(digits); ok && hasPort {
		return host, port
	}
	return text, 0
}
