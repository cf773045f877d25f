package pace

import (
	"context"
	"math"
	"time"
)

// window is the time over which the budget holds: what was not used in it is
// lost, so that a quiet hour does not allow a busy minute.
const window = 10 * time.Second

// budget is CPU time that accrues with time and is used by work between two
// waits. What the rest of the process uses meanwhile, which is taking calls, is
// measured while this waits, and not held against it: calls in plenty, or one of
// half a gigabyte, would else stop their own shipping.
type budget struct {
	share float64
	used  func() time.Duration

	left time.Duration
	// at and cpu are when, and with how much CPU time used, the last wait ended.
	at  time.Time
	cpu time.Duration
	// others is what the rest of the process uses, as a share of a core.
	others float64
}

// longestPause is the longest time between two looks at the budget.
const longestPause = time.Second

// wait settles what was used since the last wait, and waits while the budget is
// overdrawn.
func (b *budget) wait(ctx context.Context) error {
	if b.share <= 0 || b.used == nil {
		return nil
	}
	now, cpu := time.Now(), b.used()
	if b.at.IsZero() {
		b.left = time.Duration(b.share * float64(window))
	} else {
		elapsed := now.Sub(b.at)
		own := cpu - b.cpu - time.Duration(b.others*float64(elapsed))
		b.accrue(elapsed)
		b.left -= max(0, own)
	}
	b.at, b.cpu = now, cpu
	for b.left < 0 {
		pause := min(time.Duration(float64(-b.left)/b.share), longestPause)
		if err := sleep(ctx, max(pause, time.Millisecond)); err != nil {
			return err
		}
		b.rested()
	}
	return nil
}

// idle runs wait, in which there is nothing to ship: what is used meanwhile is the
// rest of the process's.
func (b *budget) idle(ctx context.Context, wait func(context.Context) error) error {
	if err := wait(ctx); err != nil || b.share <= 0 || b.used == nil {
		return err
	}
	b.rested()
	return nil
}

// rested takes in a time in which nothing was shipped.
func (b *budget) rested() {
	now, cpu := time.Now(), b.used()
	b.observe(cpu-b.cpu, now.Sub(b.at))
	b.accrue(now.Sub(b.at))
	b.at, b.cpu = now, cpu
}

func (b *budget) accrue(elapsed time.Duration) {
	b.left = min(b.left+time.Duration(b.share*float64(elapsed)), time.Duration(b.share*float64(window)))
}

// observe takes in what the rest of the process used in a pause: an average in which
// what is a window old has a weight of a third.
func (b *budget) observe(used, elapsed time.Duration) {
	if elapsed <= 0 {
		return
	}
	weight := 1 - math.Exp(-elapsed.Seconds()/window.Seconds())
	b.others += weight * (used.Seconds()/elapsed.Seconds() - b.others)
}
