package sweep_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/sweep"
)

func TestEachSliceHasItsTurnOnceInALap(t *testing.T) {
	var s sweep.Sweeper
	var seen [256]int
	looks := func(now time.Time) (n int) {
		if err := s.Due(now, func(slice byte) error { seen[slice]++; n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	now := time.Unix(1_760_000_000, 0)
	if first, again := looks(now), looks(now); first != 1 || again != 0 {
		t.Errorf("%d slices at first and %d at once again", first, again)
	}
	for end := now.Add(sweep.Lap); now.Before(end); {
		now = now.Add(time.Minute)
		looks(now)
	}
	for slice, n := range seen {
		if n != 1 && n != 2 {
			t.Errorf("slice %d had %d turns", slice, n)
		}
	}
	if n := looks(now.Add(30 * sweep.Lap)); n != 256 {
		t.Errorf("%d slices after a long silence", n)
	}
}

func TestASliceThatFailedIsLookedAtAgain(t *testing.T) {
	var s sweep.Sweeper
	now, broken := time.Unix(1_760_000_000, 0), errors.New("away")
	var first, second byte
	if err := s.Due(now, func(slice byte) error { first = slice; return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := s.Due(now, func(slice byte) error { second = slice; return nil }); err != nil || first != second {
		t.Errorf("slices %d and %d, %v", first, second, err)
	}
}
