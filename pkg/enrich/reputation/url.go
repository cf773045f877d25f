package reputation

import (
	"bytes"
	"net/netip"
	"strconv"
)

// location is a URL taken apart, in the form that URLs are compared in. Its
// slices point into the memory that parseURL was given.
type location struct {
	// key is host, port unless it is the scheme's own, path and query, in the
	// canonical form of Safe Browsing. The scheme is not part of it, as in Zeek, nor
	// are user name and fragment.
	key []byte
	// host is without brackets and escapes; addr is valid where it is an address.
	host []byte
	addr netip.Addr
	// port is the one written, else the scheme's own, else 0.
	port uint16
}

// parseURL reads a URL that has a scheme and appends its key to dst. ok is false
// for what has no host that is a name of two labels or an address.
func parseURL(dst, text []byte) (l location, ok bool) {
	text = bytes.Trim(text, " \t\r\n")
	n := schemeLen(text)
	if n == 0 {
		return l, false
	}
	usual := usualPort(text[:n])
	authority, rest := cutAny(text[n+3:], "/?#\\")
	if at := bytes.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	host, digits, ok := splitPort(authority)
	if !ok {
		return l, false
	}
	host = bytes.Trim(host, "[]")
	if bytes.IndexByte(host, ':') < 0 && bytes.ContainsAny(host, "%\t\r\n") { // of IPv6 it is a zone
		from := len(dst)
		dst = appendUnescaped(dst, host)
		host = dst[from:]
	}
	start := len(dst)
	l.host = bytes.Trim(host, ".")
	if l.addr, dst, ok = appendHost(dst, l.host); !ok {
		return l, false
	}
	if l.port, dst, ok = appendPort(dst, digits, usual); !ok {
		return l, false
	}
	dst = appendPath(dst, rest)
	l.key = dst[start:]
	return l, true
}

// appendHost appends a URL's host, IPv6 in brackets.
func appendHost(dst, host []byte) (addr netip.Addr, _ []byte, ok bool) {
	if addr, ok = parseAddr(host); !ok {
		addr, ok = numericAddr(host)
	}
	if !ok {
		dst, ok = appendDomain(dst, host)
		return addr, dst, ok
	}
	addr = fromNAT64(addr)
	if addr.Is4() {
		return addr, addr.AppendTo(dst), true
	}
	return addr, append(addr.AppendTo(append(dst, '[')), ']'), true
}

// fromNAT64 is the IPv4 address within one of the well-known prefix of NAT64.
func fromNAT64(a netip.Addr) netip.Addr {
	if a.Is6() && netip.PrefixFrom(netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b}), 96).Contains(a) {
		raw := a.As16()
		return netip.AddrFrom4([4]byte(raw[12:]))
	}
	return a
}

// appendPort appends a port that is not the usual one.
func appendPort(dst, digits []byte, usual uint16) (port uint16, _ []byte, ok bool) {
	if len(digits) == 0 {
		return usual, dst, true
	}
	if port, ok = parsePort(digits); ok && port != usual {
		dst = strconv.AppendUint(append(dst, ':'), uint64(port), 10)
	}
	return port, dst, ok
}

// schemeLen is the length of the scheme that text starts with, 0 for none.
func schemeLen(text []byte) int {
	n := bytes.Index(text, []byte("://"))
	if n <= 0 || n > 16 || !letter(text[0]) {
		return 0
	}
	for _, c := range text[:n] {
		if !schemeByte(c) {
			return 0
		}
	}
	return n
}

func letter(c byte) bool { c = lower(c); return 'a' <= c && c <= 'z' }

func schemeByte(c byte) bool {
	return letter(c) || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
}

func usualPort(scheme []byte) uint16 {
	switch {
	case bytes.EqualFold(scheme, []byte("http")), bytes.EqualFold(scheme, []byte("ws")):
		return 80
	case bytes.EqualFold(scheme, []byte("https")), bytes.EqualFold(scheme, []byte("wss")):
		return 443
	case bytes.EqualFold(scheme, []byte("ftp")):
		return 21
	}
	return 0
}

// splitPort splits "host:port" and "[v6]:port"; the port may be absent. The
// brackets stay, and text with several colons outside them has no port.
func splitPort(b []byte) (host, port []byte, ok bool) {
	at := bytes.LastIndexByte(b, ':')
	if end := bytes.IndexByte(b, ']'); len(b) > 0 && b[0] == '[' {
		if end < 0 || end+1 < len(b) && b[end+1] != ':' {
			return nil, nil, false
		}
		at = end + 1
	} else if at != bytes.IndexByte(b, ':') {
		at = len(b)
	}
	if at < 0 || at >= len(b) {
		return b, nil, len(b) > 0
	}
	return b[:at], b[at+1:], at > 0
}

func parsePort(digits []byte) (uint16, bool) {
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' || n > 65535 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(min(n, 65535)), n > 0 && n <= 65535
}

// cutAny splits b before the first of the bytes.
func cutAny(b []byte, of string) (before, from []byte) {
	if at := bytes.IndexAny(b, of); at >= 0 {
		return b[:at], b[at:]
	}
	return b, nil
}
