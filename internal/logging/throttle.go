package logging

import (
	"sync"
	"time"
)

// throttlePeriod is how often one kind of message may be logged: standard error
// often ends in the same disk or journal that is in trouble.
const throttlePeriod = time.Minute

// Throttle lets a message of each kind through once a period and counts the rest.
// The zero value is ready; it is safe for concurrent use.
type Throttle struct {
	mu    sync.Mutex
	kinds map[string]*throttled
}

type throttled struct {
	last       time.Time
	suppressed int
}

// Allow says whether a message of this kind may be logged now, and how many were
// kept back since the last one that was.
func (t *Throttle) Allow(kind string) (suppressed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = map[string]*throttled{}
	}
	now := time.Now()
	k, seen := t.kinds[kind]
	if !seen {
		t.kinds[kind] = &throttled{last: now}
		return 0, true
	}
	if now.Sub(k.last) < throttlePeriod {
		k.suppressed++
		return 0, false
	}
	suppressed = k.suppressed
	*k = throttled{last: now}
	return suppressed, true
}
