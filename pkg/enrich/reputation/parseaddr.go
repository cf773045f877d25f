package reputation

import "net/netip"

// parseAddr reads an address as netip.ParseAddr does, IPv4 in IPv6 as IPv4 and
// without the zone, and allocates nothing: it is asked about every socket row,
// and netip's own takes a string and makes an error.
func parseAddr(b []byte) (netip.Addr, bool) {
	for _, c := range b {
		switch c {
		case '.':
			if a, ok := parse4(b); ok {
				return netip.AddrFrom4(a), true
			}
			return netip.Addr{}, false
		case ':':
			return parse6(b)
		}
	}
	return netip.Addr{}, false
}

func parse4(b []byte) (a [4]byte, ok bool) {
	part, digits, n := 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if digits == 0 || part > 3 {
				return a, false
			}
			a[part] = byte(n)
			part, digits, n = part+1, 0, 0
			continue
		}
		c := b[i] - '0'
		if c > 9 || digits > 0 && n == 0 {
			return a, false
		}
		if n, digits = n*10+int(c), digits+1; n > 255 {
			return a, false
		}
	}
	return a, part == 4
}

// parse6 reads groups from the left; what stands after "::" is moved to the
// right end at last.
func parse6(b []byte) (netip.Addr, bool) {
	b, ok := cutZone(b)
	if !ok {
		return netip.Addr{}, false
	}
	var a [16]byte
	at, gap := 0, -1
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		n, value := hexGroup(b)
		if n < len(b) && b[n] == '.' {
			if at, ok = put4(&a, at, b); !ok {
				return netip.Addr{}, false
			}
			break
		}
		if n == 0 || at == 16 {
			return netip.Addr{}, false
		}
		a[at], a[at+1] = byte(value>>8), byte(value)
		at += 2
		if b, gap, ok = separator(b[n:], at, gap); !ok {
			return netip.Addr{}, false
		}
	}
	return finish6(a, at, gap)
}

// cutZone takes a zone off; an empty one is an error.
func cutZone(b []byte) ([]byte, bool) {
	for i, c := range b {
		if c == '%' {
			return b[:i], i+1 < len(b)
		}
	}
	return b, true
}

// hexGroup reads up to four hexadecimal digits; a fifth makes n 0, unless the
// group turns out to be decimal.
func hexGroup(b []byte) (n, value int) {
	for n < len(b) {
		c := lower(b[n])
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return n, value
		}
		if n == 4 {
			return 0, 0
		}
		n, value = n+1, value<<4|int(c)
	}
	return n, value
}

// separator steps over what stands between two groups, and notes where "::" is.
func separator(b []byte, at, gap int) ([]byte, int, bool) {
	switch {
	case len(b) == 0:
		return b, gap, true
	case b[0] != ':' || len(b) == 1:
		return b, gap, false
	case b[1] != ':':
		return b[1:], gap, true
	}
	return b[2:], at, gap < 0
}

func put4(a *[16]byte, at int, b []byte) (int, bool) {
	v4, ok := parse4(b)
	if !ok || at > 12 {
		return at, false
	}
	copy(a[at:], v4[:])
	return at + 4, true
}

func finish6(a [16]byte, at, gap int) (netip.Addr, bool) {
	switch {
	case at == 16:
		if gap >= 0 {
			return netip.Addr{}, false
		}
	case gap < 0:
		return netip.Addr{}, false
	default:
		n := copy(a[16-(at-gap):], a[gap:at])
		clear(a[gap : 16-n])
	}
	return netip.AddrFrom16(a).Unmap(), true
}
