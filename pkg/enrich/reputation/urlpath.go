package reputation

import "net/netip"

// appendPath appends path and query, without the fragment, in the canonical form of
// Safe Browsing: escapes are undone until there are none, dot segments resolved and
// slashes merged in the path, and what is no plain character escaped once.
func appendPath(dst, rest []byte) []byte {
	rest, _ = cutAny(rest, "#")
	path, query := cutAny(rest, "?")
	start := len(dst)
	dst = appendUnescaped(append(dst, '/'), path)
	dst = dst[:start+cleanPath(dst[start:])]
	dst = appendUnescaped(dst, query)
	return escape(dst, start)
}

// appendUnescaped appends text without its escapes, those that come of other escapes
// too, and without line ends and tabs. A percent sign that begins no escape stays.
func appendUnescaped(dst, text []byte) []byte {
	start := len(dst)
	for _, c := range text {
		if c == '\t' || c == '\n' || c == '\r' {
			continue
		}
		dst = append(dst, c)
		for n := len(dst); n-start >= 3 && dst[n-3] == '%'; n = len(dst) {
			high, low := hexValue(dst[n-2]), hexValue(dst[n-1])
			if high < 0 || low < 0 {
				break
			}
			dst = append(dst[:n-3], byte(high<<4|low))
		}
	}
	return dst
}

func hexValue(c byte) int {
	switch c = lower(c); {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// cleanPath resolves dot segments and merges slashes, in place, of a path that begins
// with a slash. It returns the length that is left.
func cleanPath(p []byte) int {
	w := 1
	for i := 1; i < len(p); {
		end := i
		for end < len(p) && p[end] != '/' {
			end++
		}
		last := end == len(p)
		switch segment := p[i:end]; {
		case len(segment) == 0, string(segment) == ".":
		case string(segment) == "..":
			for w > 1 {
				if w--; p[w-1] == '/' {
					break
				}
			}
		default:
			w += copy(p[w:], segment)
			if !last {
				p[w] = '/'
				w++
			}
		}
		i = end + 1
	}
	return w
}

// escape escapes what stands from start on, as far as it has to be.
func escape(dst []byte, start int) []byte {
	odd := 0
	for _, c := range dst[start:] {
		if mustEscape(c) {
			odd++
		}
	}
	if odd == 0 {
		return dst
	}
	const digits = "0123456789ABCDEF"
	r := len(dst) - 1
	for range odd {
		dst = append(dst, 0, 0)
	}
	for w := len(dst) - 1; r >= start; r-- {
		if c := dst[r]; mustEscape(c) {
			dst[w-2], dst[w-1], dst[w] = '%', digits[c>>4], digits[c&15]
			w -= 3
		} else {
			dst[w] = c
			w--
		}
	}
	return dst
}

func mustEscape(c byte) bool { return c <= ' ' || c >= 0x7f || c == '#' || c == '%' }

// numericAddr reads an IPv4 address as the C library does: one to four numbers between
// dots, decimal, octal or hexadecimal, of which the last fills what is left.
func numericAddr(b []byte) (netip.Addr, bool) {
	var address uint64
	for part := range 4 {
		digits, rest := cutAny(b, ".")
		n, ok := cNumber(digits)
		if !ok {
			return netip.Addr{}, false
		}
		if len(rest) == 0 {
			bits := 32 - 8*part
			return addr4(uint32(address<<bits | n)), n < 1<<bits
		}
		if n > 255 {
			return netip.Addr{}, false
		}
		address, b = address<<8|n, rest[1:]
	}
	return netip.Addr{}, false
}

func cNumber(b []byte) (n uint64, ok bool) {
	base := uint64(10)
	switch {
	case len(b) > 2 && b[0] == '0' && lower(b[1]) == 'x':
		base, b = 16, b[2:]
	case len(b) > 1 && b[0] == '0':
		base, b = 8, b[1:]
	}
	if len(b) == 0 || len(b) > 12 {
		return 0, false
	}
	for _, c := range b {
		v := hexValue(c)
		if v < 0 || uint64(v) >= base {
			return 0, false
		}
		n = n*base + uint64(v)
	}
	return n, n <= 1<<32-1
}
