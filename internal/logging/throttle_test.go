package logging

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th Throttle
		if n, ok := th.Allow("a"); !ok || n != 0 {
			t.Error("the first message was held back")
		}
		for range 3 {
			if _, ok := th.Allow("a"); ok {
				t.Error("the next message came through")
			}
		}
		if _, ok := th.Allow("b"); !ok {
			t.Error("another kind was held back")
		}
		time.Sleep(throttlePeriod)
		if n, ok := th.Allow("a"); !ok || n != 3 {
			t.Errorf("after a period: %d, %v; want 3, true", n, ok)
		}
		if _, ok := th.Allow("a"); ok {
			t.Error("the period did not begin again")
		}
	})
}
