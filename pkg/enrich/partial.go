package enrich

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Partial tells that a partition's state was lost, and what follows from that. The zero
// value tells that it was not.
type Partial struct {
	// Base is added to every revision: it is above all that were told from the state
	// that is lost, so that a reader who keeps the highest is not left with one of
	// those.
	Base int
	// Until is when what was lost no longer matters. Events that were appended
	// before, and that earlier rows could have answered, have the gap state_partial.
	Until time.Time
}

const partialKey = "s"

// MarkPartial notes it in the partition's state, for ReadPartial and for who takes the
// partition next. The state is that of the operator "pipeline".
func MarkPartial(state State, p Partial) error {
	b := binary.AppendUvarint(nil, uint64(p.Base))
	if err := state.Put("", []byte(partialKey), binary.AppendVarint(b, p.Until.Unix())); err != nil {
		return fmt.Errorf("note that state is partial: %w", err)
	}
	return nil
}

// ReadPartial returns what MarkPartial noted.
func ReadPartial(state State) (p Partial, err error) {
	b, err := state.Get("", []byte(partialKey))
	if err != nil || b == nil {
		return p, err
	}
	base, n := binary.Uvarint(b)
	if n <= 0 {
		return p, errors.New("note of partial state: not a number")
	}
	until, m := binary.Varint(b[n:])
	if m <= 0 {
		return p, errors.New("note of partial state: no time")
	}
	return Partial{int(base), time.Unix(until, 0).UTC()}, nil
}

// Partial sets what is known of a loss of state. It is called before Process.
func (p *Pipeline) Partial(partial Partial) { p.partial = partial }

// unsure notes on an event what a lost state may have answered.
func (p *Pipeline) unsure(e *Event) {
	if mayChange(e) && e.Appended.Before(p.partial.Until) {
		e.AddGap("state", StatePartial)
	}
}
