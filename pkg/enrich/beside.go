package enrich

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// besideKey and 16 bytes of a hash of a side record: when it was taken, where it may
	// come again.
	besideKey = "d"
	// besideFor is how long that is kept, by our own clock: of a backlog all is old.
	besideFor = 24 * time.Hour
)

// cameBeside tells whether a side record was taken before, and notes that it is. Input
// that is not read in transactions has repeats of all kinds; of CloudTrail's records there
// are copies everywhere, which stage 1 knows where they lie in one partition only. Of what
// a host says the last holds, and nothing else counts.
func (p *Pipeline) cameBeside(s *Side) (bool, error) {
	copies := s.Kind == SideCall || s.Kind == SideUse
	if p.waits == nil || !copies && (!p.waits.cfg.Keep || s.Kind == SideHost) {
		return false, nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%t\x00%d\x00%t", s.Kind, s.Host, s.Source, s.Responder, s.Change, s.Withdrawn))
	k := key(besideKey, string(sum[:16]))
	was, err := p.waits.state.Get(s.Host, k)
	if err != nil {
		return false, fmt.Errorf("side record %s: %w", s.Position, err)
	}
	if was != nil {
		return true, nil
	}
	if err := p.waits.state.Put(s.Host, k, binary.AppendVarint(nil, p.now().Unix())); err != nil {
		return false, fmt.Errorf("side record %s: %w", s.Position, err)
	}
	return false, nil
}

// sweepBeside forgets side records that were taken long ago, a slice after another: a busy
// day's are too many to look at in one go.
func (p *Pipeline) sweepBeside() error {
	if p.waits == nil {
		return nil
	}
	now := p.now()
	err := p.besides.Due(now, func(slice byte) error {
		return p.waits.forgetNotes(append([]byte(besideKey), slice), func(value []byte) bool { return isOld(value, now, besideFor) })
	})
	if err != nil {
		return fmt.Errorf("side records: %w", err)
	}
	return nil
}

// forgetNotes deletes the notes about hosts whose keys begin so and whose values are old.
func (w *waits) forgetNotes(prefix []byte, old func(value []byte) bool) error {
	type note struct {
		host Host
		key  []byte
	}
	var gone []note
	err := w.state.Hosts(func(host Host) error {
		return w.state.Scan(host, prefix, func(k, v []byte) error {
			if old(v) {
				gone = append(gone, note{host, append([]byte(nil), k...)})
			}
			return nil
		})
	})
	for i := 0; err == nil && i < len(gone); i++ {
		err = w.state.Delete(gone[i].host, gone[i].key)
	}
	return err
}

// isOld tells that the moment, Unix seconds, is longer ago than that. One
// that cannot be read is.
func isOld(moment []byte, now time.Time, than time.Duration) bool {
	at, n := binary.Varint(moment)
	return n <= 0 || now.Sub(time.Unix(at, 0)) > than
}
