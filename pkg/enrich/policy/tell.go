package policy

import (
	"fmt"
	"path"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// finding is the record as a person is to be told of it.
func (r *record) finding(host enrich.Host) *finding.Finding {
	f := &finding.Finding{
		ID: r.id, Revision: r.revision, Rule: r.rule, Title: "An indicator was met", Reason: r.reason(), Status: r.status(),
		Severity: r.severity, Confidence: r.confidence, FirstSeen: r.first, LastSeen: r.last, Count: r.open + r.suppressed,
		Techniques: r.techniques, Evidence: r.evidence, Host: host, HostName: r.hostName, Copies: r.copies, Executables: r.executables, Retro: r.retro,
	}
	if r.session != "" {
		f.Session = []byte(r.session)
	}
	return f
}

func (r *record) reason() string {
	text := r.what
	if n := r.open + r.suppressed; n > 1 {
		text += fmt.Sprintf(" Met %d times that day.", n)
	}
	if r.retro {
		text += " It was found afterwards, when the list had learned of it."
	}
	switch {
	case r.open == 0:
		text += " " + r.why
	case r.suppressed > 0:
		text += fmt.Sprintf(" %d of them are suppressed.", r.suppressed)
	}
	return text
}

// sentence says in plain words what an event did with an indicator.
func sentence(e *enrich.Event, g *group) string {
	t := g.best()
	text := deedOf(e, t) + ", which " + t.Feed + " lists"
	if !strings.EqualFold(t.Atomic, t.Indicator) {
		text += " as " + t.Indicator
	}
	if t.Name != "" {
		text += " (" + t.Name + ")"
	}
	if more := otherFeeds(g); len(more) > 0 {
		text += "; so say " + strings.Join(more, ", ")
	}
	return text + "."
}

// deedOf is who did what with the value.
func deedOf(e *enrich.Event, t *enrich.Threat) string {
	c := e.Call
	switch {
	case c == nil:
		return fmt.Sprintf(deed(t), who(e), t.Atomic)
	case c.Failed:
		return fmt.Sprintf("%s called %s in account %s in vain from %s", c.Actor, c.Action, c.Account, t.Atomic)
	}
	return fmt.Sprintf("%s called %s in account %s from %s", c.Actor, c.Action, c.Account, t.Atomic)
}

func otherFeeds(g *group) (names []string) {
	seen := map[string]bool{g.best().Feed: true}
	for _, t := range g.threats {
		if !seen[t.Feed] {
			names, seen[t.Feed] = append(names, t.Feed), true
		}
	}
	return names
}

// who names the program and the host.
func who(e *enrich.Event) string {
	host := e.HostIdentifier.Text()
	switch {
	case host == "" && e.Host != "":
		host = string(e.Host)
	case host == "":
		return "A machine at " + e.Text(event.LocalAddress)
	}
	if name := executable(e); name != "" {
		return path.Base(name) + " on " + host
	}
	return "Host " + host
}

// deed is what was done with the value, with places for who and the value.
func deed(t *enrich.Threat) string {
	switch {
	case t.SeenIn == enrich.SeenInCommandLine:
		return "%s has on its command line %s"
	case t.SeenIn == enrich.SeenInCandidateName:
		return "%s connected to an address that may be %s"
	case t.Direction == enrich.Inbound:
		return "%s was reached from %s"
	case t.Direction == enrich.Failed:
		return "%s tried in vain to reach %s"
	}
	return deedByField(t)
}

func deedByField(t *enrich.Threat) string {
	switch {
	case t.Field == "dns.question.name":
		return "%s looked up %s"
	case strings.HasPrefix(t.Field, "dns."):
		return "%s looked up a name that is %s"
	case t.Field == "tls.client.server_name", strings.HasPrefix(t.Field, "url."):
		return "%s asked for %s"
	case strings.HasPrefix(t.Field, "tls."):
		return "%s spoke TLS that looks like %s"
	case strings.HasPrefix(t.Field, "file."):
		return "%s has to do with the file %s"
	case t.Field == "process.executable":
		return "%s ran %s"
	case t.Direction == enrich.Outbound:
		return "%s connected to %s"
	case strings.HasPrefix(t.Field, "destination."), strings.HasPrefix(t.Field, "source."):
		return "%s has a connection with %s"
	}
	return "%s has the value %s"
}
