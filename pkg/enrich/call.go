package enrich

import (
	"context"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Call is an API call, of an Event that is one: who called what, and from where.
type Call struct {
	// ID is that of its record, the same in every copy.
	ID   string
	Time time.Time
	// Source is the address that it came from.
	Source string
	// Account is the one that the call is told to, Actor who made it, and Action what
	// was called.
	Account, Actor, Action string
	// Failed tells that it did not do what it asked for.
	Failed bool
}

// calls is how a pipeline reads API calls, which have no columns.
var calls = event.Lens{Kind: event.API} //nolint:gochecknoglobals // a constant, but for the language

// identifyCall makes an event of a call, which is told by who shows it.
func (p *Pipeline) identifyCall(e *Event, in *Input, c *Call) {
	*e = Event{
		ID: c.ID, Kind: event.API, Lens: &calls, Call: c, Time: c.Time, TimeSource: TimeColumn, Position: in.Position, Appended: in.Appended, read: in.place(),
		own: e.own, pieces: e.pieces, Names: e.Names[:0], Gaps: e.Gaps[:0], Threats: e.Threats[:0], Evidence: e.Evidence[:0], Sought: e.Sought[:0],
	}
}

// called takes a call that the router showed: what it met is judged.
func (p *Pipeline) called(ctx context.Context, in *Input, c *Call, out *Out) error {
	e := &p.event
	p.identifyCall(e, in, c)
	at, ok := sane(e)
	if !ok {
		p.stats.ClockClamped++
	}
	moved, err := p.clocks.advance(e.Host, at)
	if err != nil {
		return err
	}
	if err := p.lookup(ctx, e); err != nil {
		return err
	}
	if err := p.observed(e); err != nil {
		return err
	}
	if err := p.judged(e, out); err != nil || !moved {
		return err
	}
	return p.tick(ctx, e.Host, at, out)
}

// calledAgain judges a call that was read again where it says something new.
func (p *Pipeline) calledAgain(ctx context.Context, in *Input, c *Call, out *Out) error {
	e := &p.again
	p.identifyCall(e, in, c)
	if err := p.lookup(ctx, e); err != nil {
		return err
	}
	return p.met(e, out)
}
