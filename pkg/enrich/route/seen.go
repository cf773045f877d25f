package route

import (
	"crypto/sha256"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// seen knows copies of CloudTrail's records by their ids: "d" and 16 bytes of a hash,
// with when it came. It reads its own state only.
type seen struct {
	state enrich.State
	swept int64 // slices of time since 1970 that were swept for
}

const (
	seenKey = "d"
	// copiesFor is how long a copy may come after the record, by the broker's time.
	copiesFor  = 24 * time.Hour
	seenFormat = 1
	// Ids are swept by the first byte of their hash, one after the other, so that no
	// sweep looks at more than a small part of a day's: all of them once in a lap.
	seenSlices = 256
	seenSlice  = 6 * time.Hour / seenSlices
)

func newSeen(state enrich.State) *seen { return &seen{state: state} }

// before tells that the record came before, and remembers it from then on.
func (s *seen) before(id string, now time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(id))
	key := append([]byte(seenKey), sum[:16]...)
	value, err := s.state.Get("", key)
	if err != nil {
		return false, wrap(err)
	}
	if value != nil {
		if old, err := outdated(value, now); err != nil || !old {
			return true, err
		}
	}
	if err := s.sweep(now); err != nil {
		return false, err
	}
	return false, wrap(s.state.Put("", key, compact.Time(compact.Number(nil, seenFormat), now)))
}

// outdated tells that a copy may no longer come of what was noted.
func outdated(value []byte, now time.Time) (bool, error) {
	r := compact.NewReader(value)
	r.Format(seenFormat)
	old := now.Sub(r.Time()) > copiesFor
	return old, wrap(r.Err())
}

// sweep forgets what came long ago, in the slices whose turn came since the last time. A
// process begins with the one of its time.
func (s *seen) sweep(now time.Time) error {
	if now.IsZero() { // where no broker tells the time
		return nil
	}
	turn := now.UnixNano() / int64(seenSlice)
	if s.swept == 0 {
		s.swept = turn - 1
	}
	for s.swept = max(s.swept, turn-seenSlices); s.swept < turn; s.swept++ {
		if err := s.forget(byte(s.swept%seenSlices), now); err != nil {
			return err
		}
	}
	return nil
}

func (s *seen) forget(slice byte, now time.Time) error {
	var old [][]byte
	err := s.state.Scan("", append([]byte(seenKey), slice), func(key, value []byte) error {
		gone, err := outdated(value, now)
		if gone {
			old = append(old, append([]byte(nil), key...))
		}
		return err
	})
	if err != nil {
		return wrap(err)
	}
	for _, key := range old {
		if err := s.state.Delete("", key); err != nil {
			return wrap(err)
		}
	}
	return nil
}
