package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/glob"
)

// Match means what the same pattern means as a regular expression.
func TestAPatternMeansWhatItsRegularExpressionMeans(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "_", "/", ".", "é", "世", "*", "?", "**"})
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "pattern"), "")
		text := strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "text"), "")
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`^(?s:` + quoted + `)$`).MatchString(text)
		if got := glob.Match(pattern, []byte(text)); got != want {
			t.Fatalf("%q on %q is %v, want %v", pattern, text, got, want)
		}
		if glob.Literal(pattern) && glob.Match(pattern, []byte(text)) != (pattern == text) {
			t.Fatalf("%q is a literal but matches %q", pattern, text)
		}
	})
}

// A hostile name costs no more than the product of both lengths.
func TestMatchDoesNotBacktrackWithoutBound(t *testing.T) {
	text := []byte(strings.Repeat("a", 100_000))
	if glob.Match("*a*a*a*a*a*a*a*a*b", text) || !glob.Any([]string{"b", "*a*a*a*a*"}, text) {
		t.Error("a long run is taken for another")
	}
}
