package redact

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Rule is one entry of `redact.rules` in the configuration.
type Rule struct {
	Name    string   `yaml:"name" doc:"Name that stands in the mark, of letters, digits, dots, underscores and hyphens; the preset's when empty."`
	Preset  string   `yaml:"preset" enum:"authorization_headers|password_flags|aws_keys|url_credentials" doc:"A rule that is built in, instead of match."`
	Match   string   `yaml:"match" doc:"Regular expression (RE2) of the secret in a column's text. With groups only what they match is replaced."`
	Columns []string `yaml:"columns" doc:"Patterns of the columns looked at; * stands for any characters, ? for one. Status lines have the column message. A preset has its own when empty: command lines, environments, messages, URLs."`
	Queries []string `yaml:"queries" doc:"Patterns of the queries looked at; all when empty. With some, status lines are not looked at, and a call whose query cannot be read is."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (r *Rule) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	add(r.Name == "" && r.Match != "", "name", "is needed with match: it stands in the mark")
	add(r.Name != "" && !regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString(r.Name), "name",
		"must be at most 64 letters, digits, dots, underscores and hyphens")
	add(r.Match == "" && r.Preset == "", "preset", "is needed, or match")
	add(r.Match != "" && r.Preset != "", "match", "cannot stand beside preset; write two rules")
	add(r.Match != "" && len(r.Columns) == 0, "columns", "is needed with match; * means every column")
	if _, known := preset(r.Preset); r.Preset != "" && !known {
		add(true, "preset", fmt.Sprintf("unknown; there are authorization_headers, password_flags, aws_keys and url_credentials, not %q", r.Preset))
	}
	if _, err := regexp.Compile(r.Match); err != nil {
		add(true, "match", inWords(err))
	}
	for i, p := range r.Columns {
		add(p == "", fmt.Sprintf("columns[%d]", i), "must not be empty")
	}
	for i, p := range r.Queries {
		add(p == "", fmt.Sprintf("queries[%d]", i), "must not be empty")
	}
	return wrong
}

// inWords tells what is wrong with a regular expression.
func inWords(err error) string {
	var wrong *syntax.Error
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	switch wrong.Code {
	case syntax.ErrInvalidPerlOp, syntax.ErrInvalidNamedCapture:
		return fmt.Sprintf("%q is not supported: RE2 has no look-around and no back references", wrong.Expr)
	case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
		return fmt.Sprintf("a parenthesis has no partner in %q", wrong.Expr)
	case syntax.ErrMissingBracket:
		return fmt.Sprintf("a bracket is not closed from %q on", wrong.Expr)
	case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
		return fmt.Sprintf("%q repeats nothing", wrong.Expr)
	}
	return fmt.Sprintf("%s: %q", wrong.Code, wrong.Expr)
}
