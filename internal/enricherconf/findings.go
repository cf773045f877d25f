package enricherconf

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
)

// Findings bounds what is raised.
type Findings struct {
	MaxPerHour int `yaml:"max_per_hour" default:"200" doc:"How many findings of indicators one rule may begin in an hour of event time, in one partition. What goes beyond it is one finding of rule_noisy; the events are enriched all the same."`
}

// Suppression is a policy.Suppression as it is written in a file.
type Suppression struct {
	Host      string `yaml:"host" doc:"Id or name of the host, with * for any characters and ? for one, as all keys up to rule. All that are given must fit; one must be."`
	Tag       string `yaml:"tag" doc:"One of the indicator's tags."`
	Process   string `yaml:"process" doc:"Path of the program."`
	User      string `yaml:"user" doc:"Name or id of the process's or login's user."`
	Indicator string `yaml:"indicator" doc:"The indicator as its feed lists it, or the event's value that met it."`
	Feed      string `yaml:"feed" doc:"Name of the feed. Where another feed says the same, that one must fit too."`
	Rule      string `yaml:"rule" doc:"The finding's rule (docs/findings.md)."`
	Owner     string `yaml:"owner" doc:"Who asked for it. Must be given; findings tell it."`
	Reason    string `yaml:"reason" doc:"Why. Must be given; findings tell it."`
	Expires   string `yaml:"expires" doc:"When it ends, as in 2027-01-31 or 2027-01-31T18:00:00Z. Must be given; events from then on are told again."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (s *Suppression) Validate() (wrong []config.Problem) {
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	rules := []string{
		finding.MatchAddress, finding.MatchName, finding.MatchURL, finding.MatchFile, finding.MatchFingerprint, finding.MatchValue,
		finding.CredentialOutside,
	}
	add(s.Host+s.Tag+s.Process+s.User+s.Indicator+s.Feed+s.Rule == "", "", "must say a host, tag, process, user, indicator, feed or rule: it would silence everything")
	add(s.Rule != "" && !strings.ContainsAny(s.Rule, "*?") && !slices.Contains(rules, s.Rule), "rule", "is none of "+strings.Join(rules, ", "))
	add(s.Owner == "", "owner", "must be given")
	add(s.Reason == "", "reason", "must be given")
	_, err := ends(s.Expires)
	add(err != nil, "expires", fmt.Sprintf("%q is not a time such as 2027-01-31 or 2027-01-31T18:00:00Z", s.Expires))
	return wrong
}

func ends(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("suppression's end: %w", err)
	}
	return t, nil
}

// Policy says what findings are raised from matches in the partition of that name.
func (c *Config) Policy(partition string) policy.Config {
	p := policy.Config{MaxPerHour: c.Findings.MaxPerHour, Partition: partition}
	for _, s := range c.Suppressions {
		expires, _ := ends(s.Expires) // Validate has read it
		p.Suppressions = append(p.Suppressions, policy.Suppression{
			Host: s.Host, Tag: s.Tag, Process: s.Process, User: s.User, Indicator: s.Indicator, Feed: s.Feed, Rule: s.Rule,
			Owner: s.Owner, Reason: s.Reason, Expires: expires,
		})
	}
	return p
}

// suppressed returns who asked not to be told of a finding that no match made.
func (c *Config) suppressed() func(rule string, at time.Time, hosts, about []string) string {
	wishes := c.Policy("").Suppressions
	return func(rule string, at time.Time, hosts, about []string) string {
		for i := range wishes {
			if wishes[i].Covers(rule, at, hosts, about) {
				return wishes[i].String()
			}
		}
		return ""
	}
}
