package clip

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextEndsWithACharacterAndLosesNoMoreThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 40).Draw(t, "limit")
		got := Text(text, limit)
		if !strings.HasPrefix(text, got) || len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		rest := text[len(got):]
		if _, size := utf8.DecodeRuneInString(rest); rest != "" && len(got)+size <= limit {
			t.Fatalf("%q, and there was room for more of %q", got, rest)
		}
	})
}

func TestTextOfNoCharactersIsCutToo(t *testing.T) {
	if got := Text("\x80\x80\x80\x80", 2); len(got) > 2 {
		t.Errorf("%q", got)
	}
}
