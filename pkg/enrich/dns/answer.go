package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// answer is what a DNS answer says.
type answer struct {
	addresses []netip.Addr
	aliases   []string
	ttl       time.Duration
}

// maxAnswer bounds the addresses taken from one answer.
const maxAnswer = 256

// read reads the answer of a lookup. Where a source tells TTLs, the longest of its
// addresses counts; none of osquery's tables does.
func read(e *enrich.Event, unknown time.Duration) answer {
	data, _ := e.Field(event.Answer)
	ttl, _ := e.Field(event.AnswerTTL)
	a := answer{ttl: -1}
	for _, record := range event.Answers(data, ttl) {
		before := len(a.addresses)
		a.take(record.Data)
		if len(a.addresses) > before {
			a.ttl = max(a.ttl, record.TTL)
		}
	}
	if a.ttl < 0 {
		a.ttl = unknown
	}
	return a
}

func (a *answer) take(token string) {
	if addr, err := netip.ParseAddr(token); err == nil {
		addr = addr.Unmap().WithZone("")
		if len(a.addresses) < maxAnswer && !addr.IsUnspecified() && !slices.Contains(a.addresses, addr) {
			a.addresses = append(a.addresses, addr)
		}
		return
	}
	if name := normal(token); strings.Contains(name, ".") && len(a.aliases) < maxChain && !slices.Contains(a.aliases, name) {
		a.aliases = append(a.aliases, name)
	}
}

// normal is a name as names are compared: lower case, without the root's dot; empty
// for what is no name of a host.
func normal(text string) string {
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	if text == "" || len(text) > 253 || strings.ContainsAny(text, " /:\\\x00") {
		return ""
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return ""
	}
	return text
}
