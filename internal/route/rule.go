package route

import (
	"regexp"
	"strings"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Rule is one entry of `routes` in the configuration. A call matches if all that is
// set holds.
type Rule struct {
	Query       string            `yaml:"query" doc:"Pattern of the scheduled query's whole name, pack and all; * stands for any characters, ? for one."`
	Pack        string            `yaml:"pack" doc:"Pattern of the pack's name: the name begins with pack and the delimiter, and what follows begins with the pack and the delimiter."`
	Decorations map[string]string `yaml:"decorations" doc:"Patterns of decorations by name, nested or at the top level, where osquery's own members such as hostIdentifier count too. One that a call lacks matches nothing."`
	Kind        string            `yaml:"kind" enum:"result|snapshot|status" doc:"What osqueryd logs it as. Status lines have no name and no decorations."`
	Topic       string            `yaml:"topic" doc:"Topic of the calls that match."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (r *Rule) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	named := r.Query != "" || r.Pack != "" || len(r.Decorations) > 0
	add(r.Topic == "", "topic", "must name a topic")
	add(r.Topic != "" && !isTopic(r.Topic), "topic", "must be at most 249 letters, digits, dots, underscores and hyphens, and not . or ..")
	add(!named && r.Kind == "", "kind", "at least one of query, pack, decorations and kind is needed; the topics under topics take the rest")
	add(named && r.Kind == "status", "kind", "status lines have no query, pack or decorations, so this would match nothing")
	switch r.Kind {
	case "", "result", "snapshot", "status":
	default:
		add(true, "kind", "must be result, snapshot or status")
	}
	return wrong
}

// isTopic tells whether Kafka takes the name.
func isTopic(name string) bool {
	return name != "." && name != ".." && regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`).MatchString(name)
}

// CheckDelimiter tells what is wrong with a pack delimiter, and nothing for a good
// one.
func CheckDelimiter(delimiter string) (wrong string) {
	switch {
	case delimiter == "":
		return "must not be empty; osquery's own default is _"
	case strings.ContainsAny(delimiter, "*?"):
		return "must not hold * or ?"
	}
	return ""
}
