package event

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Where flat steps over an object, the way for all objects steps over the same.
func TestFlatObjectsEndWhereAllDo(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	parts := []string{
		`{`, `}`, `"`, `"a"`, `"name"`, `:`, `,`, `12`, `0`, `01`, `-3`, `1.5`, `1e3`, `"text of some length, and more"`, `"\n"`, `"\"`,
		"\x01", "\xff", `"é"`, ` `, `[`, `]`, `null`, `{"a":"b"}`, `"cmdline":"/usr/bin/python3 worker.py"`, `"pid":4711`, `""`,
	}
	flat := 0
	for range 300_000 {
		text := []byte(`{"k":"v"`)
		for range rng.IntN(8) {
			text = append(text, parts[rng.IntN(len(parts))]...)
		}
		text = append(text, `}, "the text goes on"`...)
		a, b := scanner{b: text}, scanner{b: text}
		if !a.flat() {
			if a.i != 0 {
				t.Fatalf("%q: moved to %d without an object", text, a.i)
			}
			continue
		}
		flat++
		if err := b.nested(); err != nil || a.i != b.i || b.control {
			t.Fatalf("%q: ends at %d, and at %d (control %v): %v", text, a.i, b.i, b.control, err)
		}
	}
	if flat < 10_000 {
		t.Errorf("only %d of the objects were flat", flat)
	}
}

// Times are written as the standard library writes them.
func TestTimesAreThoseOfTheLayout(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	check := func(at time.Time) {
		t.Helper()
		if got, want := string(AppendTime([]byte("x"), at)), "x"+at.UTC().Format(spooledLayout); got != want {
			t.Fatalf("%d: %s, want %s", at.UnixNano(), got, want)
		}
	}
	for range 100_000 {
		check(time.Unix(rng.Int64N(2*4_102_444_800)-4_102_444_800, rng.Int64N(1_000_000_000)))
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), time.UnixMilli(-1)} {
		check(at)
	}
}
