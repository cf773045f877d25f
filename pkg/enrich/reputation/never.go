package reputation

import "net/netip"

// never are the ranges that mean another machine at every site, or none at all
// (IANA's special-purpose registries): a public list that names them would flag
// everyone's inner traffic. Cloud metadata services answer in 169.254.0.0/16,
// 100.64.0.0/10, 192.0.0.0/24 and fc00::/7; 168.63.129.16 is Azure's own.
func never() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
		"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "fc00::/7", "fe80::/9", "ff00::/8",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// The widest prefixes that an indicator may be.
const (
	widest4 = 8
	widest6 = 16
)

// private tells whether p lies within a range that is kept out, and overlaps
// whether it has part of one.
func private(ranges []netip.Prefix, p netip.Prefix) (within, overlaps bool) {
	for _, r := range ranges {
		if r.Overlaps(p) {
			if r.Bits() <= p.Bits() {
				return true, true
			}
			overlaps = true
		}
	}
	return false, overlaps
}
