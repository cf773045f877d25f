package gcpace

import (
	"context"
	"runtime/debug"
	"testing"
)

func TestASmallHeapMayGrow(t *testing.T) {
	for live, want := range map[uint64]int{0: 6400, 16 << 20: 400, 64 << 20: 100, 1 << 30: 100} {
		if got := percent(live, 64<<20); got != want {
			t.Errorf("%d bytes live: %d, want %d", live, got, want)
		}
	}
}

// What it sets ends with it, and what was set in the environment stands.
func TestItLeavesNothingBehind(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, 1<<40); err != nil {
		t.Fatal(err)
	}
	if now := debug.SetGCPercent(100); now != 100 {
		t.Errorf("%d percent are left", now)
	}
	t.Setenv("GOGC", "50")
	debug.SetGCPercent(50)
	if err := Run(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	if now := debug.SetGCPercent(50); now != 50 {
		t.Errorf("%d percent are set in the place of 50", now)
	}
}
