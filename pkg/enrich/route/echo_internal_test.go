package route

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// What this process stated is known, and is not taken in when it comes back; the same
// from elsewhere is, once more.
func TestWhatWasStatedHereIsNotReadAgain(t *testing.T) {
	f := NewFacts(nil)
	fact := cloudtrail.Fact{Kind: cloudtrail.FactInstanceEnd, Subject: "i-0317f6c6b66ae9c40", EventID: "1", Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	text, err := json.Marshal(&fact)
	if err != nil {
		t.Fatal(err)
	}
	f.own.note(text)
	for i, want := range []int{0, 1, 1} { // an echo; another's; the same again
		if err := f.Learn(text); err != nil || f.Trail().Len() != want {
			t.Errorf("time %d: %d facts, want %d: %v", i, f.Trail().Len(), want, err)
		}
	}
	if f.own.came(nil) || f.own.came(text) {
		t.Error("what was not stated came back")
	}
}
