package cloudtrail

import (
	"net/netip"
	"strings"
)

// SourceKind says what sourceIPAddress holds, which is an address only most of the
// time.
type SourceKind string

// The kinds of sources.
const (
	SourceAddress  SourceKind = "address"  // an IPv4 or IPv6 address
	SourceService  SourceKind = "service"  // the name of an AWS service that made the call
	SourceInternal SourceKind = "internal" // "AWS Internal": AWS itself, from nowhere
	SourceInvalid  SourceKind = "invalid"  // kept as it is: anonymised, a placeholder, damaged
	SourceNone     SourceKind = "none"     // the record has none
)

// Source is where a call came from.
type Source struct {
	// Text is the member as it is.
	Text string
	Kind SourceKind
	// Addr is set for SourceAddress alone, IPv4 within IPv6 as IPv4.
	Addr netip.Addr
}

// sourceOf reads sourceIPAddress. An address with leading zeros is invalid: it may
// be decimal or octal, and a wrong address accuses somebody else.
func sourceOf(text string) Source {
	switch {
	case text == "":
		return Source{Kind: SourceNone}
	case strings.EqualFold(text, "AWS Internal"):
		return Source{Text: text, Kind: SourceInternal}
	case serviceName(text):
		return Source{Text: text, Kind: SourceService}
	}
	if addr, err := netip.ParseAddr(text); err == nil && !addr.IsUnspecified() {
		return Source{Text: text, Kind: SourceAddress, Addr: addr.Unmap().WithZone("")}
	}
	return Source{Text: text, Kind: SourceInvalid}
}

// serviceName tells the name of an AWS service: s3.amazonaws.com, or one of China's
// or of the isolated partitions.
func serviceName(text string) bool {
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".aws.internal", ".amazon.com", ".c2s.ic.gov", ".sc2s.sgov.gov"} {
		if strings.HasSuffix(text, suffix) {
			return true
		}
	}
	return false
}
