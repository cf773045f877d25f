package ledger

import (
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// identity is under which host identifier an agent sends, and how it came to it.
type identity struct {
	identifier string
	// held orders the agents of one identifier by when they began to send last.
	held uint64
	// took are the last two times at which this agent began where another had sent.
	took [2]time.Time
	// conflicts are told by the agent that is first in order.
	conflicts []alarm
}

// maxConflicts bounds what one agent tells.
const maxConflicts = 16

// identify notes who sends under the row's host identifier. An agent that begins
// where another had sent follows it, as after a reinstall; one that does so twice
// within the window takes turns with one that is still alive.
func (l *Ledger) identify(h *host, e *enrich.Event, out *enrich.Out) {
	raw := e.HostIdentifier.Raw
	if len(raw) == 0 || e.HostIdentifier.Empty() || string(raw) == h.identifier && l.holders[h.identifier] == h {
		return
	}
	l.changed(h)
	if name := string(raw); name != h.identifier {
		if l.holders[h.identifier] == h {
			delete(l.holders, h.identifier)
		}
		h.identifier, h.held, h.took = name, 0, [2]time.Time{}
	}
	before := l.holders[h.identifier]
	l.holders[h.identifier] = h
	if before == nil {
		h.held++
		return
	}
	h.held = before.held + 1
	h.took = [2]time.Time{h.took[1], sent(e)}
	if first := h.took[0]; !first.IsZero() && h.took[1].Sub(first).Abs() <= l.cfg.Alternate {
		l.conflict(h, before, e, out)
	}
}

// sent is when a row left its host, as near as can be told.
func sent(e *enrich.Event) time.Time {
	if !e.Appended.IsZero() {
		return e.Appended
	}
	return e.Delivery.Spooled
}

// conflict tells of two agents under one identifier, once in a window.
func (l *Ledger) conflict(a, b *host, e *enrich.Event, out *enrich.Out) {
	if a.name > b.name {
		a, b = b, a
	}
	c, now := a.conflictWith(b, sent(e)), sent(e)
	if c == nil {
		return
	}
	l.changed(a)
	c.count++
	if c.revision > 0 && now.Sub(c.at) < l.cfg.Alternate {
		return
	}
	f := &finding.Finding{
		ID:       finding.ID(finding.IdentityConflict, a.identifier, string(a.name), string(b.name)),
		Revision: c.revision, Rule: finding.IdentityConflict, Title: "Two agents send under one host identifier",
		Reason: fmt.Sprintf("Agents %s and %s take turns in sending as host %q. Hosts may be copies of one image, or one sends in another's name; their rows are not told apart by that identifier.",
			a.name, b.name, a.identifier),
		Status: finding.Open, Severity: finding.Medium, Confidence: 90, FirstSeen: c.since, LastSeen: now, Count: c.count,
		HostName: a.identifier, Agents: []string{string(a.name), string(b.name)}, Evidence: evidence(e),
	}
	c.at = now
	c.revision++
	l.tell(f, out)
}

func (h *host) conflictWith(b *host, now time.Time) *alarm {
	for i := range h.conflicts {
		if h.conflicts[i].with == string(b.name) {
			return &h.conflicts[i]
		}
	}
	if len(h.conflicts) == maxConflicts {
		return nil
	}
	h.conflicts = append(h.conflicts, alarm{with: string(b.name), since: now})
	return &h.conflicts[len(h.conflicts)-1]
}

func evidence(e *enrich.Event) []finding.Evidence {
	return []finding.Evidence{{ID: e.ID, Position: e.Position}}
}
