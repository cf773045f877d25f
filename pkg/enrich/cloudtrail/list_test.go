package cloudtrail

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Facts about one subject come in any order, go, and are read in between: what is read is
// all of them, the earliest first, and stays as it was read.
func TestFactsOfASubjectAreInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l list
		var want []*Fact
		type reading struct{ given, was []*Fact }
		var readings []reading
		for n := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch step := rapid.IntRange(0, 5).Draw(rt, "step"); {
			case step < 3:
				f := &Fact{Kind: FactUse, EventID: name(n), Time: second(rapid.IntRange(0, 20).Draw(rt, "at"))}
				l.add(f)
				want = append(want, f)
				slices.SortFunc(want, compare)
			case step == 3 && len(want) > 0:
				i := rapid.IntRange(0, len(want)-1).Draw(rt, "gone")
				if rapid.Bool().Draw(rt, "the oldest") {
					i = 0
				}
				l.drop(want[i])
				want = slices.Concat(want[:i], want[i+1:])
			default:
				got := l.ordered()
				if !slices.Equal(got, want) {
					rt.Fatalf("%d facts are read, not the %d that there are, in order", len(got), len(want))
				}
				readings = append(readings, reading{got, slices.Clone(got)})
			}
		}
		for _, r := range readings {
			if !slices.Equal(r.given, r.was) {
				rt.Fatal("facts that were given are written over")
			}
		}
	})
}
