package policy

import (
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/glob"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Suppression is what an owner asked not to be told of. Each of the first seven is a
// pattern with * and ?; all that are given must fit. Hits stay findings, with the
// status suppressed.
type Suppression struct {
	// Host is the host's id or name, Process the executable's path, User a name or
	// an id, Tag one of the indicator's tags.
	Host, Tag, Process, User, Indicator, Feed, Rule string
	// Owner and Reason are told in the finding.
	Owner, Reason string
	// Expires is the time of events from which it no longer holds.
	Expires time.Time
}

// suppression returns the first that fits an event's match, or nil.
func (p *Policy) suppression(e *enrich.Event, g *group) *Suppression {
	for i := range p.cfg.Suppressions {
		if s := &p.cfg.Suppressions[i]; e.Time.Before(s.Expires) && s.fits(e, g) {
			return s
		}
	}
	return nil
}

// fits wants every list that speaks to be one that is meant: a feed that was
// silenced does not silence another that says the same.
func (s *Suppression) fits(e *enrich.Event, g *group) bool {
	for _, t := range g.threats {
		if !meets(s.Feed, t.Feed) || !meets(s.Indicator, t.Indicator, t.Atomic) || !meets(s.Tag, t.Tags...) {
			return false
		}
	}
	return meets(s.Rule, g.rule()) && meets(s.Host, string(e.Host), e.HostIdentifier.Text()) && meets(s.Process, executable(e)) &&
		meets(s.User, users(e)...)
}

// Covers tells whether the suppression speaks of a finding that no match made: by its
// rule, the names of its host, and what it is about. One of a tag, process, user or feed
// does not. at is when what was found happened last.
func (s *Suppression) Covers(rule string, at time.Time, hosts, about []string) bool {
	return at.Before(s.Expires) && s.Tag+s.Process+s.User+s.Feed == "" && meets(s.Rule, rule) && meets(s.Host, hosts...) && meets(s.Indicator, about...)
}

func meets(pattern string, values ...string) bool {
	if pattern == "" {
		return true
	}
	for _, v := range values {
		if v != "" && glob.Match(pattern, []byte(v)) {
			return true
		}
	}
	return false
}

// executable is the program behind the event, as far as it is known.
func executable(e *enrich.Event) string {
	if e.Process != nil {
		return e.Process.Executable
	}
	return e.Text(event.Path)
}

func users(e *enrich.Event) []string {
	all := []string{e.Text(event.UserName), e.Text(event.UID)}
	if e.Process != nil {
		all = append(all, e.Process.UserID, e.Process.UserName)
	}
	if e.Call != nil {
		all = append(all, e.Call.Actor)
	}
	if e.Session != nil {
		all = append(all, e.Session.UserName, e.Session.AuditUserName)
	}
	return all
}

// String says who asked for it and why.
func (s *Suppression) String() string {
	text := "Suppressed for " + s.Owner + " until " + s.Expires.UTC().Format(time.RFC3339)
	if s.Reason != "" {
		text += ": " + strings.TrimRight(s.Reason, ".")
	}
	return text + "."
}
