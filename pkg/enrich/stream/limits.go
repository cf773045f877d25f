package stream

import (
	"sync"
	"time"
)

// Limits of one transaction: it ends at whichever comes first.
const (
	maxRecords = 10_000
	maxBytes   = 8 << 20
	linger     = 500 * time.Millisecond
)

// smallest is how far the limits are halved, and growAfter how many transactions
// have to succeed before they are doubled again.
const (
	smallest  = 8
	growAfter = 20
)

// limits are the bounds of a session's transactions. They are halved when one
// took longer than the broker waits for it, and grow back. They are safe for
// concurrent use.
type limits struct {
	mu     sync.Mutex
	halved int
	good   int
}

func newLimits() *limits { return &limits{} }

// now returns the bounds of the next transaction.
func (l *limits) now() (records, bytes int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maxRecords >> l.halved, maxBytes >> l.halved, linger >> l.halved
}

func (l *limits) timedOut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good, l.halved = 0, min(l.halved+1, smallest)
}

func (l *limits) succeeded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.good++; l.good >= growAfter {
		l.good, l.halved = 0, max(l.halved-1, 0)
	}
}
