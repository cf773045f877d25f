package route

import (
	"crypto/sha256"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/internal/sweep"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// seen knows copies of CloudTrail's records by their ids: "d" and 16 bytes of a hash,
// with when it came. It reads its own state only.
type seen struct {
	state enrich.State
	sweep sweep.Sweeper // by the first byte of the hash
}

const (
	seenKey = "d"
	// copiesFor is how long a copy may come after the record, by the broker's time.
	copiesFor  = 24 * time.Hour
	seenFormat = 1
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
	if !now.IsZero() { // else no broker tells the time
		if err := s.sweep.Due(now, func(slice byte) error { return s.forget(slice, now) }); err != nil {
			return false, err
		}
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

// forget forgets what came long ago, of one slice.
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
