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
	// Notes are swept by the first byte of their hash, one after the other, since a busy
	// day's are too many to look at in one go: all of them once in a lap.
	besideSlices = 256
	besideSlice  = 6 * time.Hour / besideSlices
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

// sweepBeside forgets side records that were taken long ago, in the slices whose turn came
// since the last time. A process begins with the one of its time.
func (p *Pipeline) sweepBeside() error {
	if p.waits == nil {
		return nil
	}
	turn := p.now().UnixNano() / int64(besideSlice)
	if p.besideSwept == 0 {
		p.besideSwept = turn - 1
	}
	for p.besideSwept = max(p.besideSwept, turn-besideSlices); p.besideSwept < turn; p.besideSwept++ {
		if err := p.forgetBeside(byte(p.besideSwept % besideSlices)); err != nil {
			return fmt.Errorf("side records: %w", err)
		}
	}
	return nil
}

func (p *Pipeline) forgetBeside(slice byte) error {
	type note struct {
		host Host
		key  []byte
	}
	var old []note
	err := p.waits.state.Hosts(func(host Host) error {
		return p.waits.state.Scan(host, append([]byte(besideKey), slice), func(k, v []byte) error {
			if at, n := binary.Varint(v); n <= 0 || p.now().Sub(time.Unix(at, 0)) > besideFor {
				old = append(old, note{host, append([]byte(nil), k...)})
			}
			return nil
		})
	})
	for i := 0; err == nil && i < len(old); i++ {
		err = p.waits.state.Delete(old[i].host, old[i].key)
	}
	return err
}
