package redact

import "bytes"

// indexFold is the index of an ASCII word of lower-case letters and signs in a text,
// in any case, or -1.
func indexFold(text []byte, word string) int {
	lower, upper := word[0], word[0]&^0x20
	if lower < 'a' || lower > 'z' {
		upper = lower
	}
	for i := 0; i+len(word) <= len(text); i++ {
		if c := text[i]; (c == lower || c == upper) && equalFold(text[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}

// equalFold compares with an ASCII word of lower-case letters and signs.
func equalFold(text []byte, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func hasPrefixFold(text []byte, word string) bool {
	return len(text) >= len(word) && equalFold(text[:len(word)], word)
}

func hasSuffixFold(text []byte, word string) bool {
	return len(text) >= len(word) && equalFold(text[len(text)-len(word):], word)
}

// skipAny is the index of the first byte from at on that is none of these.
func skipAny(text []byte, at int, these string) int {
	for at < len(text) && bytes.IndexByte([]byte(these), text[at]) >= 0 {
		at++
	}
	return at
}
