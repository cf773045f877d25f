// Package glob matches names against patterns in which `*` stands for any
// characters, none among them, and `?` for one. Everything else, a slash too,
// stands for itself.
//
// It must never fail on a pattern: every text is one.
package glob

import (
	"strings"
	"unicode/utf8"
)

// Match tells whether the whole of text matches. Its time is at most the product of
// both lengths, and it does not allocate.
func Match(pattern string, text []byte) bool {
	p, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p, t = p+1, t+runeLen(text[t:])
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0: // the last star takes one more character
			from += runeLen(text[from:])
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func runeLen(text []byte) int {
	_, size := utf8.DecodeRune(text)
	return size
}

// Any tells whether text matches one of the patterns.
func Any(patterns []string, text []byte) bool {
	for _, p := range patterns {
		if Match(p, text) {
			return true
		}
	}
	return false
}

// Literal tells whether the pattern stands for one text only, itself.
func Literal(pattern string) bool { return !strings.ContainsAny(pattern, "*?") }
