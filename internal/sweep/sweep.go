// Package sweep spreads over time what looks through notes that are kept by a hash: a
// slice of them after another, so that no look takes long. It must never look itself.
package sweep

import "time"

const (
	slices = 256
	// Lap is the time in which each slice has its turn once.
	Lap = 6 * time.Hour
	// turn is how long one slice has.
	turn = Lap / slices
)

// Sweeper gives slices, which are the first bytes of the hashes, their turns. The zero
// Sweeper begins with the slice of the time at which it is first asked. It is for one
// goroutine.
type Sweeper struct {
	done int64 // turns since 1970
}

// Due calls look with each slice whose turn has begun since the last call, up to all of
// them. At an error, which it returns, that slice's turn is not over.
func (s *Sweeper) Due(now time.Time, look func(slice byte) error) error {
	at := now.UnixNano() / int64(turn)
	if s.done == 0 {
		s.done = at - 1
	}
	for s.done = max(s.done, at-slices); s.done < at; s.done++ {
		if err := look(byte(s.done % slices)); err != nil {
			return err
		}
	}
	return nil
}
