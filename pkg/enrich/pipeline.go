package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/sweep"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Pipeline takes the records of one partition through its operators and
// lookups. It is for one goroutine.
type Pipeline struct {
	finder    *event.Finder
	guard     Guard // nil without one
	operators []Operator
	lookups   []Enricher
	clocks    clocks
	waits     *waits // nil when every event is told once, at once
	owned     Owned  // nil where nobody asks
	beside    bool   // the record in work did not come keyed by its host
	stats     Stats
	router    Router                  // nil without one
	learnFact func(fact []byte) error // nil where other stages take facts
	since     since
	event     Event
	row       []byte
	again     Event  // one that is told later, or once more
	value     []byte // what is told
	// ticked is the partition's time as the guard knows it.
	ticked time.Time
	judge  Judge // nil without one
	retro  Retro // nil without one
	// partial tells of a loss of state.
	partial Partial
	// flushed is when the judge was last asked to, swept when notes of withdrawn links were
	// last looked through.
	flushed, swept time.Time
	besides        sweep.Sweeper
	now            func() time.Time
}

// NewPipeline builds a pipeline that owns the operators; lookups are shared. It
// tells every event once, at once, until Wait is called.
func NewPipeline(lenses *event.Lenses, operators []Operator, lookups []Enricher) *Pipeline {
	p := &Pipeline{
		finder: event.NewFinder(lenses), operators: operators, lookups: lookups,
		clocks: newClocks(nil), stats: NewStats(), now: time.Now,
	}
	p.event.pieces = newPieces()
	p.again.pieces = p.event.pieces
	return p
}

// Wait makes the pipeline hold events for answers that later rows may bring, and
// tell them again when a better answer comes. What a restart needs of this, and the
// hosts' clocks, goes to state. It is called before Process.
func (p *Pipeline) Wait(cfg Waiting, state State) {
	p.waits, p.clocks = newWaits(cfg, state), newClocks(state)
	p.owned, _ = state.(Owned)
}

// Guard sets who sees each row first. It is called before Process.
func (p *Pipeline) Guard(g Guard) {
	p.guard = g
}

// Process takes one record and adds to out what it makes: one enriched record
// per row, or one dead letter for a record that is no row of osquery's. An
// error means that the infrastructure failed; the record has then to be handed
// in again.
func (p *Pipeline) Process(ctx context.Context, in Input, out *Out) error {
	p.stats.Records++
	p.beside = in.Side || in.Sensor || p.router != nil
	if p.waits != nil {
		p.waits.arrivals(in.Position.Topic).next = in.Position.Offset + 1
	}
	if err := p.passed(in.Appended, out); err != nil {
		return err
	}
	if in.Side {
		return p.processSide(ctx, in, out)
	}
	from := len(out.Outputs)
	if err := p.take(ctx, in, out); err != nil {
		return err
	}
	return p.turnBack(ctx, from, out)
}

// take takes a record on that is not, or no longer, in an envelope.
func (p *Pipeline) take(ctx context.Context, in Input, out *Out) error {
	if p.router != nil && in.Broken == nil {
		taken, err := p.router.Route(&in, func(c *Call) error { return p.called(ctx, &in, c, out) }, out)
		if err != nil || taken {
			return err
		}
	}
	if in.Broken != nil || in.Sensor {
		return p.processSensor(ctx, in, out)
	}
	err := p.rows(&p.event, in, func(sub int) error { return p.step(ctx, in, sub, out) })
	var none *noRowError
	if errors.As(err, &none) {
		p.refuse(in, none.cause, out)
		return nil
	}
	return err
}

// passed tells the guard, once a second of it, that the partition's time moved.
func (p *Pipeline) passed(appended time.Time, out *Out) error {
	if p.guard == nil || appended.Before(p.ticked.Add(time.Second)) {
		return nil
	}
	p.ticked = appended
	if err := p.guard.OnTick(appended, out); err != nil {
		return fmt.Errorf("the partition's clock: %w", err)
	}
	return nil
}

// noRowError tells that a record is no row of osquery's.
type noRowError struct{ cause error }

func (e *noRowError) Error() string { return "no row of osquery's: " + e.cause.Error() }

// rows parses each row of a record into e, and calls visit with the row's number in
// the record, or with -1 when the record is the row.
func (p *Pipeline) rows(e *Event, in Input, visit func(sub int) error) error {
	err := e.Parse(in.Value)
	if err == nil && e.Dirty { // shipped by others, who do not mend
		p.row = event.AppendMended(p.row[:0], e.Raw)
		err = e.Parse(p.row)
	}
	if err == nil && (e.HasColumns || e.Delivered || !e.Severity.Empty()) {
		return visit(-1)
	}
	var rows *event.Rows
	if err == nil {
		rows, err = event.SplitResult(in.Value)
	}
	if err != nil {
		return &noRowError{err}
	}
	for i := range rows.Records() {
		p.row = rows.AppendRow(p.row[:0], i)
		if err := e.Parse(p.row); err != nil {
			return fmt.Errorf("row %d of %s: %w", i, in.Position, err)
		}
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// step takes the row in p.event on. sub is its number in the record, or -1 when
// the record is the row.
func (p *Pipeline) step(ctx context.Context, in Input, sub int, out *Out) error {
	e := &p.event
	p.identify(e, in, sub)
	if p.owned != nil && !p.beside {
		p.owned.Reads(e.Host)
	}
	drop, err := p.cameBefore(e, out)
	if err != nil {
		return err
	}
	if drop {
		p.stats.Duplicates++
		return nil
	}
	at, ok := sane(e)
	if !ok {
		p.stats.ClockClamped++
	}
	moved, err := p.advance(e, at)
	if err != nil {
		return err
	}
	for _, op := range p.operators {
		if err := op.OnEvent(e, out); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	if err := p.lookup(ctx, e); err != nil {
		return err
	}
	p.unsure(e)
	if err := p.observed(e); err != nil {
		return err
	}
	if err := p.count(e, at); err != nil {
		return err
	}
	if err := p.judged(e, out); err != nil {
		return err
	}
	if err := p.tell(ctx, e, at, sub, out); err != nil {
		return err
	}
	if err := p.learn(ctx, e, out); err != nil || !moved {
		return err
	}
	return p.tick(ctx, e.Host, at, out)
}

// advance moves the host's clock, which only its own rows can.
func (p *Pipeline) advance(e *Event, at time.Time) (moved bool, err error) {
	if e.Link != nil {
		return false, nil
	}
	return p.clocks.advance(e.Host, at)
}

// cameBefore tells whether the row is a repeat. What still waits is one whatever the
// guard says: its books are by topic, and a group that was moved reads another one.
func (p *Pipeline) cameBefore(e *Event, out *Out) (bool, error) {
	if p.guard != nil && e.Link == nil {
		drop, err := p.guard.Check(e, out)
		if err != nil {
			return false, fmt.Errorf("event %s: %w", e.ID, err)
		}
		if drop {
			return true, nil
		}
	}
	return p.waits != nil && p.waits.ids[e.ID] != nil, nil
}

func (p *Pipeline) lookup(ctx context.Context, e *Event) error {
	for _, l := range p.lookups {
		if err := l.Enrich(ctx, e); err != nil {
			return fmt.Errorf("event %s: %s: %w", e.ID, l.Name(), err)
		}
	}
	return nil
}

// tell writes the event, unless it is held.
func (p *Pipeline) tell(ctx context.Context, e *Event, at time.Time, sub int, out *Out) error {
	e.Revision = p.partial.Base + e.Link.first()
	var kept *pending
	if p.waits != nil {
		now, err := p.clocks.now(e.Host)
		if err != nil {
			return err
		}
		kept = p.waits.add(e, at, now, p.now(), sub)
	}
	if kept == nil {
		if e.untold() {
			return nil
		}
		p.value = AppendEnriched(p.value[:0], e, p.now())
		out.Add(p.output(e, out.Copy(p.value)))
		return nil
	}
	if !kept.held {
		p.value, kept.answer = appendEnriched(p.value[:0], e, p.now(), p.waits.seed, true)
		out.Add(p.output(e, out.Copy(p.value)))
		if err := p.waits.told(kept, !open(e)); err != nil {
			return err
		}
	}
	return p.relieve(ctx, out)
}

func (p *Pipeline) output(e *Event, value []byte) Output {
	key := string(e.Host)
	if key == "" { // a sensor's record; those of one would else all be in one partition
		key = e.ID
	}
	return Output{Stream: Enriched, Key: []byte(key), Value: value, ID: e.ID, Kind: string(e.Kind), Schema: SchemaEnriched}
}

// tick tells the operators that the host's clock moved, and lets go of what has
// left the window.
func (p *Pipeline) tick(ctx context.Context, host Host, now time.Time, out *Out) error {
	if p.guard != nil {
		if err := p.guard.OnTime(host, now, out); err != nil {
			return fmt.Errorf("clock of %s: %w", host, err)
		}
	}
	for _, op := range p.operators {
		if err := op.OnTime(host, now, out); err != nil {
			return fmt.Errorf("clock of %s: %w", host, err)
		}
	}
	if err := p.release(ctx, host, now, out); err != nil || p.judge == nil {
		return err
	}
	if err := p.judge.OnTime(host, now, out); err != nil { // after what was let go, which it may still count
		return fmt.Errorf("clock of %s: findings: %w", host, err)
	}
	return nil
}
