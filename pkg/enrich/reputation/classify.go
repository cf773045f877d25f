package reputation

import (
	"bytes"
	"net/netip"
)

// kind is what an indicator is. Keys of different kinds never look alike: a URL's
// has a slash, a name's a dot and no slash, a hash's neither.
type kind uint8

const (
	nothing kind = iota
	address
	domain
	link
	digest
)

// String is the word for the kind that Feed.Type uses.
func (k kind) String() string {
	return [...]string{"", "ip", "domain", "url", "hash"}[k]
}

// classify tells what text is and appends its key to dst: a prefix for an
// address, the comparable form of the rest.
func classify(dst, text []byte) (kind, netip.Prefix, []byte) {
	if prefix, ok := parsePrefix(text); ok {
		return address, prefix, nil
	}
	if key, ok := appendHash(dst, text); ok {
		return digest, netip.Prefix{}, key[len(dst):]
	}
	if l, ok := parseURL(dst, text); ok {
		return link, netip.Prefix{}, l.key
	}
	if key, ok := appendDomain(dst, text); ok {
		return domain, netip.Prefix{}, key[len(dst):]
	}
	return nothing, netip.Prefix{}, nil
}

// parsePrefix reads an address or a prefix; bits of the host part are ignored.
func parsePrefix(text []byte) (netip.Prefix, bool) {
	if bytes.IndexByte(text, '%') >= 0 {
		return netip.Prefix{}, false
	}
	if addr, ok := parseAddr(text); ok {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	if bytes.IndexByte(text, '/') < 0 {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(string(text))
	return plainPrefix(p), err == nil
}

// defanged tells an indicator that was made unclickable for a report. It is not
// for a list to guess what was meant.
func defanged(text []byte) bool {
	if i := bytes.Index(text, []byte("://")); i >= 0 {
		authority, _ := cutAny(text[i+3:], "/?#")
		text = text[:i+3+len(authority)]
	}
	if len(text) > 4 && bytes.EqualFold(text[:4], []byte("hxxp")) {
		return true
	}
	if !bytes.ContainsAny(text, "[({") && bytes.IndexByte(text, ']') < 0 {
		return false
	}
	for _, mark := range []string{"[.", ".]", "(.", "{.", "[:]", "[://]", "[at]", "[dot]", "(dot)", "[@]"} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return false
}
