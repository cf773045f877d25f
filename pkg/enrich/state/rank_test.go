package state

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// The order is that of the keys' bytes, and of equal keys the one they came in, whatever
// the keys: of few scopes, alike for more than sixteen bytes, ends of one another.
func TestRanksAreInTheOrderOfTheKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.Custom(func(t *rapid.T) []byte {
			key := bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 'a', 0xff}).Draw(t, "byte")}, rapid.IntRange(0, 20).Draw(t, "alike"))
			return append(key, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'b', 0xff}), 0, 3).Draw(t, "end")...)
		})
		var keys [][]byte
		var r ranks
		for i := range rapid.IntRange(1, 60).Draw(t, "keys") {
			operator := rapid.SampledFrom([]string{"", "flow", "process"}).Draw(t, "operator")
			host := rapid.SampledFrom([]string{"", "a", "a\x00", "ab"}).Draw(t, "host")
			key := AppendKey(nil, operator, enrich.Host(host), own.Draw(t, "own"))
			scope, err := checkKey(key)
			if err != nil {
				t.Fatal(err)
			}
			r.add(key, scope, i)
			keys = append(keys, key)
		}
		want := make([]int, len(keys))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
		at := func(place int) []byte { return keys[place] }
		got := r.sort(at)
		for i := range got {
			if got[i].place() != want[i] {
				t.Fatalf("%x came at %d, where %x was due", keys[got[i].place()], i, keys[want[i]])
			}
			if i > 0 && same(got[i-1], got[i], at) != bytes.Equal(keys[want[i-1]], keys[want[i]]) {
				t.Fatalf("%x and %x: same is wrong", keys[want[i-1]], keys[want[i]])
			}
		}
	})
}
