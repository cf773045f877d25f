package explain

import (
	"net/netip"
	"regexp"
	"strings"
)

// word is what may be an address, or a URL's beginning.
var word = regexp.MustCompile(`[0-9A-Za-z_.:-]+`)

// defang makes addresses and URLs unusable by a click or a paste.
func defang(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "http://", "hxxp://"), "https://", "hxxps://")
	return word.ReplaceAllStringFunc(s, func(w string) string {
		at := strings.TrimRight(w, ".:")
		if a, err := netip.ParseAddr(at); err == nil && !a.IsPrivate() && !a.IsLoopback() && !a.IsUnspecified() {
			return strings.ReplaceAll(strings.ReplaceAll(at, ".", "[.]"), ":", "[:]") + w[len(at):]
		}
		return w
	})
}
