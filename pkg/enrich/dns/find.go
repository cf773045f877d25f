package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// answer gives a socket the names of its other end.
func (o *Operator) answer(e *enrich.Event) error {
	addr, port, ok := e.RemoteAddress()
	if !ok || e.Inbound() || addr.IsUnspecified() {
		return nil
	}
	pid, _ := e.Int(event.PID)
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	found, err := o.find(e, addr, port, max(0, pid))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		h.unknown(e, addr, port)
		return nil
	}
	if len(found) > maxCandidates {
		e.AddGap("names", enrich.NamesCut)
		found = found[:maxCandidates]
	}
	status := enrich.Attributed
	if len(found) > 1 || hasGap(e, "names") {
		status = enrich.Candidate
	}
	e.Names = e.Names[:0]
	for i := range found {
		n := &found[i]
		e.Names = append(e.Names, enrich.Name{Name: n.text, Status: status, Source: n.source, SameProcess: pid > 0 && n.pid == pid, Evidence: n.id})
		h.origins.Cite(e, "name", n.text, n.place)
	}
	return nil
}

func hasGap(e *enrich.Event, question string) bool {
	return slices.ContainsFunc(e.Gaps, func(g enrich.Gap) bool { return g.Question == question })
}

// unknown says that no name is known, where one could be: the host's names are seen,
// and the address is one that names stand for.
func (h *host) unknown(e *enrich.Event, addr netip.Addr, port uint16) {
	if addr.IsLoopback() || addr.IsMulticast() || addr.IsLinkLocalUnicast() || port == 53 {
		return
	}
	if !h.named.IsZero() && e.Time.Sub(h.named) <= expects+time.Minute {
		e.AddGap("name", enrich.NameUnknown)
	}
}

// find returns the names that the other end had for this socket, by the best evidence
// there is: what was spoken to it, what the process itself looked up, what anyone on
// the host did. They are distinct, in alphabetical order.
func (o *Operator) find(e *enrich.Event, addr netip.Addr, port uint16, pid int64) ([]name, error) {
	h, err := o.host(e.Host)
	if err != nil || h.addresses == 0 {
		return nil, err
	}
	all, err := o.names(e.Host, addressKey(addr))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(n name) bool { return !n.fits(e.Time, port, pid) })
	if said := pick(all, func(n *name) bool { return n.source != enrich.FromDNS }); len(said) > 0 {
		return distinct(said), nil
	}
	if all, err = o.follow(e, all); err != nil {
		return nil, err
	}
	if own := pick(all, func(n *name) bool { return pid > 0 && n.pid == pid }); len(own) > 0 {
		return distinct(own), nil
	}
	return distinct(all), nil
}

// fits tells whether a socket of that time, port and pid may have had the name. What
// was spoken by another process, or to another port, was not spoken on it.
func (n *name) fits(at time.Time, port uint16, pid int64) bool {
	at = at.Truncate(time.Second)
	if at.Before(n.from) || at.After(n.until) {
		return false
	}
	if n.source == enrich.FromDNS {
		return true
	}
	return (n.pid == 0 || pid == 0 || n.pid == pid) && (n.port == 0 || port == 0 || n.port == port)
}

// follow adds the names whose CNAME was looked up apart. The CNAME itself is then no
// name that anyone asked for, if the one who asked it asked for the name.
func (o *Operator) follow(e *enrich.Event, all []name) ([]name, error) {
	h, err := o.host(e.Host)
	if err != nil || h.aliases == 0 {
		return all, err
	}
	hops := 0
	via := make([]bool, len(all))
	for i := 0; i < len(all) && hops < maxChain*maxCandidates; i++ {
		hops++
		parents, err := o.names(e.Host, aliasKey(all[i].text))
		if err != nil {
			return nil, err
		}
		for _, p := range parents {
			if !p.fits(e.Time, 0, 0) {
				continue
			}
			via[i] = via[i] || p.pid == all[i].pid
			if !slices.ContainsFunc(all, func(n name) bool { return n.text == p.text && n.pid == p.pid }) {
				all, via = append(all, p), append(via, false)
			}
		}
	}
	kept := make([]name, 0, len(all))
	for i := range all {
		if !via[i] {
			kept = append(kept, all[i])
		}
	}
	if len(kept) == 0 { // CNAMEs in a ring
		return all, nil
	}
	return kept, nil
}

func pick(all []name, want func(*name) bool) (picked []name) {
	for i := range all {
		if want(&all[i]) {
			picked = append(picked, all[i])
		}
	}
	return picked
}

// distinct leaves one of each name, the first that was asked.
func distinct(all []name) []name {
	slices.SortFunc(all, func(a, b name) int {
		if c := strings.Compare(a.text, b.text); c != 0 {
			return c
		}
		if c := a.from.Compare(b.from); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return slices.CompactFunc(all, func(a, b name) bool { return a.text == b.text })
}
