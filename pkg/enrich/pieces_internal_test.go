package enrich

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However often processes change, come again and are forgotten, they are written as
// if nothing were remembered, and what is remembered stays within its bound.
func TestWhatIsRememberedIsWrittenAsIfItWereNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := newPieces()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for range 200 {
			p := Process{
				EntityID: fmt.Sprint(rng.IntN(20)), PID: int64(rng.IntN(3)), Executable: fmt.Sprint("/bin/", rng.IntN(3)), CommandLine: fmt.Sprintf("%0*d", rng.IntN(300), 7),
				Start: time.Unix(int64(rng.IntN(3)), 0), UserID: fmt.Sprint(rng.IntN(2)), UserName: fmt.Sprint(rng.IntN(2)), Inferred: rng.IntN(2) == 0,
			}
			limit := []int{maxAncestor / 2, 8 << 10}[rng.IntN(2)]
			with, without := writer{pieces: known}, writer{}
			with.processMembers(&p, limit)
			without.processMembers(&p, limit)
			if string(with.B) != string(without.B) || with.Cut != without.Cut || with.Empty() != without.Empty() {
				t.Fatalf("%s (cut %v), and without %s (cut %v)", with.B, with.Cut, without.B, without.Cut)
			}
		}
	})
}

func TestOnlySoManyAreRemembered(t *testing.T) {
	known := newPieces()
	for i := range 10 * maxPieces {
		w := writer{pieces: known}
		w.processMembers(&Process{EntityID: fmt.Sprint(i)}, 100)
	}
	if n := len(known.young) + len(known.old); n > 2*maxPieces {
		t.Errorf("%d are remembered, at most %d should be", n, 2*maxPieces)
	}
}

// What Copy returned keeps its bytes until Reset, whatever is copied after it.
func TestCopiesLastUntilReset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out Out
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			var copies [][]byte
			sizes := rapid.SliceOfN(rapid.IntRange(0, outBlock/2), 0, 12).Draw(t, "sizes")
			for i, n := range sizes {
				b := make([]byte, n)
				for j := range b {
					b[j] = byte(i)
				}
				copies = append(copies, out.Copy(b))
				clear(b)
			}
			for i, c := range copies {
				if len(c) != sizes[i] {
					t.Fatalf("copy %d has %d bytes, want %d", i, len(c), sizes[i])
				}
				for _, have := range c {
					if have != byte(i) {
						t.Fatalf("copy %d was written over", i)
					}
				}
				_ = append(c, 0xff) // must not reach the next one
			}
			out.Reset()
		}
	})
}
