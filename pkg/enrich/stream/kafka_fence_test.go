package stream

import "testing"

// Who wrote a commit stands behind the trial, which an older version still reads; words of
// others are nobody.
func TestACommitSaysWhoWroteIt(t *testing.T) {
	trying := trial{From: 5, To: 9, Size: 2, Tries: 1, Begun: true}
	for _, metadata := range []string{"", trying.metadata()} {
		text := signed(metadata, "00ff")
		if writerIn(text) != "00ff" {
			t.Errorf("%q: %q", text, writerIn(text))
		}
		if got, want := parseTrial(text, 5), parseTrial(metadata, 5); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if signed("x", "") != "x" {
		t.Error("nobody signed")
	}
	for _, text := range []string{"", "trial/1", "writer=", "writer=x y", "awriter=00", "writer=00 x"} {
		if w := writerIn(text); w != "" {
			t.Errorf("%q: %q", text, w)
		}
	}
}
