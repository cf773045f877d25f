package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Env looks a variable up, as os.LookupEnv does.
type Env = func(name string) (value string, set bool)

// expansion is the inside of ${NAME} or ${NAME:-default}.
type expansion struct {
	name, fallback string
	hasFallback    bool
}

// expand replaces each ${NAME} and ${NAME:-default} in the text; $${ becomes ${. The
// values are taken as they are: what looks like a variable inside one is not expanded.
func expand(text string, env Env) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if escaped, is := strings.CutSuffix(before, "$"); is {
			out.WriteString(escaped + "${")
			text = after
			continue
		}
		inside, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("${ without a closing }; write $${ for a literal ${")
		}
		value, err := lookup(inside, env)
		if err != nil {
			return "", err
		}
		out.WriteString(before + value)
		text = rest
	}
}

// lookup returns the value of one expansion. As in a shell, a variable that is set but
// empty takes the default, if there is one.
func lookup(inside string, env Env) (string, error) {
	e, err := parseExpansion(inside)
	if err != nil {
		return "", err
	}
	value, set := env(e.name)
	switch {
	case value == "" && e.hasFallback:
		return e.fallback, nil
	case !set:
		return "", fmt.Errorf("variable %s is not set and has no default; write ${%s:-value} to give one", e.name, e.name)
	}
	return value, nil
}

func parseExpansion(inside string) (expansion, error) {
	name, fallback, has := strings.Cut(inside, ":-")
	if !isName(name) {
		return expansion{}, errors.New("not a variable: use ${NAME} or ${NAME:-default}, or $${ for a literal ${")
	}
	if strings.Contains(fallback, "${") {
		return expansion{}, errors.New("a default cannot hold another variable")
	}
	return expansion{name: name, fallback: fallback, hasFallback: has}, nil
}

// isName says whether the text is a variable's name in the sense of POSIX.
func isName(text string) bool {
	return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(text)
}

// isOneVariable says whether the text is a single ${...} and nothing else.
func isOneVariable(text string) bool {
	inside, found := strings.CutPrefix(strings.TrimSpace(text), "${")
	return found && strings.IndexByte(inside, '}') == len(inside)-1
}

// splitList splits the value of a variable at commas, without blanks and empty items.
func splitList(text string) []string {
	items := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
