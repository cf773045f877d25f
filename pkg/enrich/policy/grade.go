package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxListed bounds the lists that one finding tells.
const maxListed = 8

// group is one value of an event and what lists that raise alarms say of it: the
// narrowest entry first, which the finding is about, then the others.
type group struct{ threats []*enrich.Threat }

func (g *group) best() *enrich.Threat { return g.threats[0] }

// grouped sorts an event's matches by the value that met them, without those that
// other lists cleared.
func grouped(e *enrich.Event) (all []group) {
next:
	for i := range e.Threats {
		t := &e.Threats[i]
		if t.Role != "block" || t.SuppressedBy != "" {
			continue
		}
		for j := range all {
			if o := all[j].best(); o.Field == t.Field && o.Atomic == t.Atomic {
				if len(all[j].threats) < maxListed {
					all[j].threats = append(all[j].threats, t)
				}
				continue next
			}
		}
		all = append(all, group{[]*enrich.Threat{t}})
	}
	return merged(all)
}

// merged leaves one group of each indicator, a firm one where there is one: two
// values of one event may meet the same.
func merged(all []group) []group {
	kept := all[:0]
next:
	for _, g := range all {
		for i := range kept {
			if kept[i].rule() == g.rule() && kept[i].indicator() == g.indicator() {
				if kept[i].weak() && !g.weak() {
					kept[i] = g
				}
				continue next
			}
		}
		kept = append(kept, g)
	}
	return kept
}

// retro tells that one of the lists learned of the indicator after it was met.
func (g *group) retro() bool {
	return slices.ContainsFunc(g.threats, func(t *enrich.Threat) bool { return t.Retro })
}

// rule is the rule by what the indicator is about.
func (g *group) rule() string {
	t := g.best()
	switch t.Type {
	case "ipv4-addr", "ipv6-addr":
		return finding.MatchAddress
	case "domain-name":
		return finding.MatchName
	case "url":
		return finding.MatchURL
	case "file":
		return finding.MatchFile
	case "x509-certificate":
		return finding.MatchFingerprint
	}
	if strings.HasPrefix(t.Field, "tls.") {
		return finding.MatchFingerprint
	}
	return finding.MatchValue
}

// indicator is the same for spellings of one indicator that do not matter.
func (g *group) indicator() string {
	t := g.best()
	switch g.rule() {
	case finding.MatchName:
		return strings.TrimSuffix(strings.ToLower(t.Indicator), ".")
	case finding.MatchFingerprint:
		return strings.ReplaceAll(strings.ToLower(t.Indicator), ":", "")
	}
	return t.Indicator
}

// weak tells what alone is at most low: anyone can knock at a host's door or put a
// name on a command line, and honest programs share fingerprints.
func (g *group) weak() bool {
	t := g.best()
	return t.SeenIn != "" || t.Direction == enrich.Inbound || t.Direction == enrich.Failed || g.rule() == finding.MatchFingerprint
}

// confidence is the best that a list has.
func (g *group) confidence() (most int) {
	for _, t := range g.threats {
		most = max(most, t.Confidence)
	}
	return most
}

// Confidences from which a firm match is high, or medium.
const (
	highFrom   = 75
	mediumFrom = 40
)

// severity goes by confidence, and by what was met: firm tells that the event has
// a match that is not weak.
func (g *group) severity(firm bool) finding.Severity {
	n := g.confidence()
	switch {
	case !firm || n < mediumFrom:
		return finding.Low
	case n < highFrom || g.undirected():
		return finding.Medium
	}
	return finding.High
}

// undirected tells an end of a conversation of which nothing says who began it.
func (g *group) undirected() bool {
	t := g.best()
	return t.Direction == "" && (strings.HasPrefix(t.Field, "destination.") || strings.HasPrefix(t.Field, "source."))
}

// techniques are the ids of ATT&CK that lists give, without what is none.
func (g *group) techniques() (all []string) {
	id := regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	for _, t := range g.threats {
		for _, technique := range t.Techniques {
			if id.MatchString(technique) {
				all = append(all, technique)
			}
		}
	}
	return all
}

// subject is whose finding it is: the host, the account of an API call, or where a
// sensor knows no host the end that began.
func subject(e *enrich.Event) string {
	switch {
	case e.Call != nil:
		return "account " + e.Call.Account
	case e.Host != "":
		return string(e.Host)
	}
	return "from " + e.Text(event.LocalAddress)
}

const daySeconds = 24 * 60 * 60

// dayOf counts UTC days from 1970 on.
func dayOf(t time.Time) int64 {
	seconds := t.Unix()
	day := seconds / daySeconds
	if seconds%daySeconds < 0 {
		day--
	}
	return day
}
