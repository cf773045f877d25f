package config

import (
	"fmt"
	"strings"
)

// Nearest is the hint that validators give for a name that is none of those
// allowed: `, did you mean "x"` for the one that a typing slip would turn into it, or
// nothing.
func Nearest(word string, allowed []string) string { return nearest(word, allowed) }

// nearest returns `, did you mean "x"` for the candidate that a typing slip would turn
// into the word, or nothing.
func nearest(word string, candidates []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, candidate := range candidates {
		if d := distance(word, candidate); d < least && d < len(candidate) {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q", best)
}

// distance is the number of letters to insert, delete or replace to get from a to b
// (Levenshtein), without regard to case.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
