package reputation

import (
	"cmp"
	"net/netip"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// derivedTag tells a match of a URL's host from one of a host that is listed.
const derivedTag = "derived_host"

// host takes the host of a listed URL as an indicator of its own: itself and not
// what is below it, with the port that the URL writes, and hardly trusted, for
// the rest of the host may be good.
func (b *builder) host(r feed.Row, url *feed.Indicator) {
	var buf [512]byte
	text := url.Value
	if schemeLen(text) == 0 {
		text = append([]byte("http://"), text...)
	}
	l, ok := parseURL(buf[:0], text)
	if !ok {
		return
	}
	i := *url
	i.Value, i.Port, i.Exact = l.host, l.port, true
	if l.port == usualPort(text[:schemeLen(text)]) {
		i.Port = 0
	}
	i.Confidence = uint8(min(lowered, cmp.Or(int(i.Confidence), b.feed.Confidence)))
	i.Tags = joined(i.Tags, derivedTag)
	if l.addr.IsValid() {
		_ = b.prefix(r, netip.PrefixFrom(l.addr, l.addr.BitLen()), &i) // private ones were left out with their URL
		return
	}
	if key, ok := appendDomain(nil, l.host); ok {
		b.key(r, feed.Domain, key, &i)
	}
}

func joined(list, word string) string {
	if list == "" {
		return word
	}
	return list + "," + word
}
