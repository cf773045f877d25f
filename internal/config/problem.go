package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Key     string // the dotted key as in "feeds[2].url"; empty means the whole
	Message string // what is wrong and what is allowed, in one line, without any secret
}

// Validator is a configuration struct that can say more than its types do. Parse calls
// Validate on each struct that has it, after all values are set; the keys are relative
// to that struct. It must not look at the disk or the network.
type Validator interface {
	Validate() []Problem
}

// Located is a problem and the line it was found at.
type Located struct {
	Problem

	Line int // counted from 1; 0 when the file says nothing about the key
}

// Errors is everything wrong with one file, in the order of its lines.
type Errors struct {
	File     string
	Problems []Located // never empty
}

// Error returns one line for each problem, as "file:line: key: message".
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.in(e.File)
	}
	return strings.Join(lines, "\n")
}

func (l Located) in(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if l.Line > 0 {
		fmt.Fprintf(&b, ":%d", l.Line)
	}
	if l.Key != "" {
		b.WriteString(": " + l.Key)
	}
	b.WriteString(": " + l.Message)
	return b.String()
}

// sorted orders problems by line and key, and drops repeated ones: an inlined struct and
// the one around it may both report the same.
func sorted(problems []Located) []Located {
	slices.SortStableFunc(problems, func(a, b Located) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

// join returns the key of a child: "a"+"b" is "a.b", "a"+"[1]" is "a[1]".
func join(parent, child string) string {
	switch {
	case parent == "":
		return child
	case child == "", strings.HasPrefix(child, "["):
		return parent + child
	}
	return parent + "." + child
}

// parentOf returns the key one level up, "" for a top one.
func parentOf(key string) string {
	return key[:max(strings.LastIndexAny(key, ".["), 0)]
}
