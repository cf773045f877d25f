package reputation

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxName is the longest domain name there is.
const maxName = 253

// appendDomain appends the normal form of a domain name: lower case, in ASCII,
// without the root's dot. ok is false for what is no name of two labels or more.
// Names may have the underscore that service records use.
func appendDomain(dst, name []byte) (_ []byte, ok bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) > 4*maxName {
		return dst, false
	}
	if !ascii(name) {
		return appendUnicode(dst, name)
	}
	start := len(dst)
	for _, c := range name {
		dst = append(dst, lower(c))
	}
	return dst, validName(dst[start:])
}

// appendUnicode maps a name that is written in another alphabet, as a browser
// would before it looks the name up.
func appendUnicode(dst, name []byte) (_ []byte, ok bool) {
	mapped, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(string(name))
	if err != nil {
		return dst, false
	}
	mapped = strings.TrimSuffix(mapped, ".")
	return append(dst, mapped...), validName([]byte(mapped))
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// validName checks a name in lower case. The last label may not be a number:
// that is an address, or nothing.
func validName(name []byte) bool {
	if len(name) > maxName {
		return false
	}
	labels, size, digits := 1, 0, true
	for _, c := range name {
		switch {
		case c == '.':
			if size == 0 || size > 63 {
				return false
			}
			labels, size, digits = labels+1, 0, true
			continue
		case 'a' <= c && c <= 'z', c == '-', c == '_':
			digits = false
		case c < '0' || c > '9':
			return false
		}
		size++
	}
	return labels > 1 && size > 0 && size <= 63 && !digits
}

// suffix tells whether name is a public suffix, under which anyone may register
// names: a registry's ("co.uk"), or a company's ("github.io").
func suffix(name string) (registry, company bool) {
	s, icann := publicsuffix.PublicSuffix(name)
	if s != name {
		return false, false
	}
	return icann, !icann
}

// appendHash appends a hash in lower case. ok is false for what has not the
// length and the digits of an MD5, SHA-1 or SHA-256.
func appendHash(dst, text []byte) (_ []byte, ok bool) {
	if n := len(text); n != 32 && n != 40 && n != 64 {
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

// emptyFile tells the hashes of a file without content, which every host has.
func emptyFile(hash string) bool {
	return oneOf(hash, "d41d8cd98f00b204e9800998ecf8427e|da39a3ee5e6b4b0d3255bfef95601890afd80709|"+
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
}

// plainPrefix returns p masked, an IPv4 one written within IPv6 as IPv4.
func plainPrefix(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}
