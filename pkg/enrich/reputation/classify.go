package reputation

import (
	"bytes"
	"net/netip"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// classify tells what text is by its look and appends its key to dst: a prefix
// for an address, the comparable form of the rest. Keys of different kinds never
// look alike: a URL's has a slash, a name's a dot and no slash, a hash's neither,
// and those of other kinds begin with a control byte.
func classify(dst, text []byte) (feed.Kind, netip.Prefix, []byte) {
	if prefix, ok := parsePrefix(text); ok {
		return feed.IP, prefix, nil
	}
	for _, k := range [...]feed.Kind{feed.Hash, feed.URL, feed.Domain} {
		if k == feed.URL && schemeLen(text) == 0 {
			continue // a path alone may be anything
		}
		if key, ok := appendKey(dst, k, text); ok {
			return k, netip.Prefix{}, key[len(dst):]
		}
	}
	return feed.Any, netip.Prefix{}, nil
}

// appendKey appends the form that text is compared in if it is of kind k. An URL
// may lack its scheme, as Zeek writes them.
func appendKey(dst []byte, k feed.Kind, text []byte) (_ []byte, ok bool) {
	switch k {
	case feed.Hash:
		return appendHash(dst, text)
	case feed.Domain:
		return appendDomain(dst, text)
	case feed.URL:
		if schemeLen(text) == 0 {
			text = append([]byte("http://"), text...)
		}
		l, ok := parseURL(dst, text)
		return append(dst, l.key...), ok
	case feed.JA3, feed.JA3S:
		return appendHex(append(dst, byte(k)), text, 32)
	case feed.Cert:
		return appendCert(append(dst, byte(k)), text)
	case feed.JARM:
		dst, ok = appendHex(append(dst, byte(k)), text, 62)
		return dst, ok && len(bytes.Trim(text, "0")) > 0
	case feed.JA4:
		return appendJA4(append(dst, byte(k)), text)
	case feed.Path:
		return appendPathKey(append(dst, byte(k)), text)
	case feed.Value:
		return append(append(dst, byte(k)), text...), len(text) > 0 && len(text) <= maxValue
	}
	return dst, false
}

// maxValue bounds paths and other values.
const maxValue = 4096

func appendHex(dst, text []byte, size int) (_ []byte, ok bool) {
	if len(text) != size {
		return dst, false
	}
	for _, c := range text {
		c = lower(c)
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// appendCert appends a certificate's SHA-1, which many write with colons between
// the bytes.
func appendCert(dst, text []byte) (_ []byte, ok bool) {
	var plain [40]byte
	n := 0
	for _, c := range text {
		if c == ':' {
			continue
		}
		if n == len(plain) {
			return dst, false
		}
		plain[n] = c
		n++
	}
	return appendHex(dst, plain[:n], len(plain))
}

// appendJA4 appends a JA4 with its hashes in lower case. What stands before them
// has the case of the ALPN it was made of.
func appendJA4(dst, text []byte) (_ []byte, ok bool) {
	if !isJA4(text) {
		return dst, false
	}
	dst = append(dst, text[:10]...)
	for _, c := range text[10:] {
		dst = append(dst, lower(c))
	}
	return dst, true
}

// appendPathKey folds the case of Windows paths, which know none.
func appendPathKey(dst, text []byte) (_ []byte, ok bool) {
	if len(text) == 0 || len(text) > maxValue {
		return dst, false
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return append(dst, text...), true
	}
	for _, c := range text {
		dst = append(dst, lower(c))
	}
	return dst, true
}

// isJA4 checks the form of a TLS client's JA4: protocol, version, SNI, counts and
// ALPN, then two shortened hashes, such as t13d1516h2_8daaf6152771_b186095e22b6.
func isJA4(text []byte) bool {
	if len(text) != 36 || text[10] != '_' || text[23] != '_' || bytes.IndexByte([]byte("tqd"), text[0]) < 0 ||
		bytes.IndexByte([]byte("di"), text[3]) < 0 || !oneOf(string(text[1:3]), "10|11|12|13|s2|s3|d1|d2|d3|00") {
		return false
	}
	var buf [12]byte
	_, first := appendHex(buf[:0], text[11:23], 12)
	_, second := appendHex(buf[:0], text[24:], 12)
	for _, c := range text[4:8] {
		first = first && '0' <= c && c <= '9'
	}
	for _, c := range text[8:10] {
		first = first && (letter(c) || '0' <= c && c <= '9')
	}
	return first && second
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
