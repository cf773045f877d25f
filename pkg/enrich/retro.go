package enrich

import (
	"context"
	"errors"
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Retro finds what was met before the feeds knew of it. Like an Operator it owns one
// partition's share, is called by one goroutine, and is thrown away when a transaction
// is aborted.
type Retro interface {
	// Observe sees each event once, in the partition's order, after the lookups have
	// noted what they asked about, and where its record was read.
	Observe(e *Event, read Position) error
	// Due returns a range of an input that is to be read again, now or as far as it
	// was not read yet. ok is false where there is none.
	Due() (r Range, ok bool, err error)
	// Meets sees an event of that range after the lookups, marks the matches that are
	// new to it, and tells whether there are any.
	Meets(e *Event) bool
	// Reached tells that the range was read up to an offset.
	Reached(next int64) error
	// Flush puts what it keeps in memory into its State, before a commit.
	Flush() error
}

// Range is records of an input topic of a partition, from From up to To.
type Range struct {
	Topic    string
	From, To int64
}

// Retro sets who looks in what has passed. It is called before Process.
func (p *Pipeline) Retro(r Retro) { p.retro = r }

// observed shows the event to who may have to find it again.
func (p *Pipeline) observed(e *Event) error {
	if p.retro != nil && !e.Elsewhere {
		if err := p.retro.Observe(e, e.read); err != nil {
			return fmt.Errorf("event %s: what was met: %w", e.ID, err)
		}
	}
	e.SoughtIn = nil // it would outlive its use while no event comes
	return nil
}

// Due returns a range of one of the partition's inputs that is to be read again and
// handed to Recheck. ok is false where there is none.
func (p *Pipeline) Due() (r Range, ok bool, err error) {
	if p.retro == nil {
		return r, false, nil
	}
	if r, ok, err = p.retro.Due(); err != nil {
		return r, false, fmt.Errorf("what feeds learned: %w", err)
	}
	return r, ok, nil
}

// Recheck takes a record of the range that Due returned last: what its rows met that
// the feeds learned of since is judged, with the joins' answers of today. A row that
// says nothing new is left as it was told.
func (p *Pipeline) Recheck(ctx context.Context, in Input, out *Out) error {
	p.stats.Rechecked++
	if in.Side {
		s, err := ReadSide(in.Value)
		switch {
		case err != nil: // it is a dead letter
			return nil //nolint:nilerr // as it says
		case s.Kind == SideRow:
			in = opened(in, s)
		case s.Kind == SideSensor && p.again.ParseSensor(s.Value) == nil:
			return p.recheckRow(ctx, opened(in, s), -1, out)
		default:
			return nil
		}
	}
	if in.Broken != nil {
		return nil //nolint:nilerr // it met nothing
	}
	if p.router != nil {
		taken, err := p.router.Again(&in, func(c *Call) error { return p.calledAgain(ctx, &in, c, out) })
		if err != nil || taken {
			return err
		}
	}
	if in.Sensor {
		return p.recheckSensor(ctx, in, out)
	}
	err := p.rows(&p.again, in, func(sub int) error { return p.recheckRow(ctx, in, sub, out) })
	var none *noRowError
	if errors.As(err, &none) {
		return nil // it is a dead letter
	}
	return err
}

// recheckRow judges the row in p.again where it says something new.
func (p *Pipeline) recheckRow(ctx context.Context, in Input, sub int, out *Out) error {
	e := &p.again
	p.identify(e, in, sub)
	if gone, err := p.isWithdrawn(e.Link); err != nil || gone {
		return err
	}
	if err := p.answer(ctx, e); err != nil {
		return err
	}
	return p.met(e, out)
}

// recheckSensor judges what a sensor saw of ends that are no host's; what it saw of a
// host's is judged there.
func (p *Pipeline) recheckSensor(ctx context.Context, in Input, out *Out) error {
	return splitSensor(in.Value, func(r *event.SensorRecord, sub int) error {
		if p.parseSensor(&p.again, r) != nil {
			return nil //nolint:nilerr // it is a dead letter
		}
		return p.recheckRow(ctx, in, sub, out)
	})
}

// met judges an event that was read again where it says something new.
func (p *Pipeline) met(e *Event, out *Out) error {
	e.SoughtIn = nil // as in observed
	if e.Elsewhere || !p.retro.Meets(e) {
		return nil
	}
	e.Again = true
	return p.judged(e, out)
}

// Rechecked tells that the range that Due returned last was read up to an offset.
func (p *Pipeline) Rechecked(next int64) error {
	if err := p.retro.Reached(next); err != nil {
		return fmt.Errorf("what feeds learned: %w", err)
	}
	return nil
}
