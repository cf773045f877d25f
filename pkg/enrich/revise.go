package enrich

import (
	"context"
	"fmt"
	"time"
)

// learn asks again about the events that what e taught the joins can change.
func (p *Pipeline) learn(ctx context.Context, e *Event, out *Out) error {
	if p.waits == nil || e.Learned.nothing() || p.waits.hosts[e.Host] == nil {
		return nil
	}
	learned, id := e.Learned, e.ID
	for _, kept := range p.waits.hosts[e.Host].since(learned.Since) {
		if kept.id == id || !kept.touched(&learned) {
			continue
		}
		if err := p.revise(ctx, kept, false, out); err != nil {
			return err
		}
	}
	return nil
}

// release tells what is held and has left its host's window, and forgets it with
// all else that can no longer change.
func (p *Pipeline) release(ctx context.Context, host Host, now time.Time, out *Out) error {
	if p.waits == nil || p.waits.hosts[host] == nil {
		return nil
	}
	for _, kept := range p.waits.hosts[host].before(now.Add(-p.waits.cfg.Wait)) {
		if err := p.letGo(ctx, kept, out); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) letGo(ctx context.Context, kept *pending, out *Out) error {
	if kept.held {
		if err := p.revise(ctx, kept, true, out); err != nil {
			return err
		}
	}
	return p.waits.drop(kept)
}

// relieve gives up the oldest while too much waits.
func (p *Pipeline) relieve(ctx context.Context, out *Out) error {
	for p.waits.bytes > p.waits.cfg.MaxBytes {
		kept := p.waits.oldest()
		if kept == nil {
			return nil
		}
		p.waits.hosts[kept.host].remove(kept)
		if err := p.letGo(ctx, kept, out); err != nil {
			return err
		}
		p.stats.WaitCut++
	}
	return nil
}

// OnIdle tells what was held for as long as the window by our own clock, because its
// host has gone silent. It can still be told again. The caller calls it every second
// or so, whether records come or not.
func (p *Pipeline) OnIdle(ctx context.Context, out *Out) error {
	if err := p.idle(ctx, out); err != nil {
		return err
	}
	if err := p.sweepWithdrawn(); err != nil {
		return err
	}
	if err := p.sweepBeside(); err != nil {
		return err
	}
	if err := p.flush(false, out); err != nil || p.waits == nil {
		return err
	}
	if err := p.overdue(ctx, p.waits.parked, out); err != nil {
		return err
	}
	for _, came := range p.waits.topics {
		if err := p.overdue(ctx, came.all, out); err != nil {
			return err
		}
	}
	return nil
}

// idle lets operators do what no record makes them do.
func (p *Pipeline) idle(ctx context.Context, out *Out) error {
	from := len(out.Outputs)
	for _, op := range p.operators {
		if i, ok := op.(Idler); ok {
			if err := i.OnIdle(out); err != nil {
				return err
			}
		}
	}
	return p.turnBack(ctx, from, out)
}

// overdue tells those of all, which are in the order they came, that were held for
// as long as the window.
func (p *Pipeline) overdue(ctx context.Context, all []*pending, out *Out) error {
	edge := p.now().Add(-p.waits.cfg.Wait)
	for _, kept := range all {
		if kept.taken.After(edge) {
			return nil
		}
		if kept.gone || !kept.held || kept.silent {
			continue
		}
		if err := p.revise(ctx, kept, true, out); err != nil {
			return err
		}
	}
	return nil
}

// Finish tells all that is held: no more input will come.
func (p *Pipeline) Finish(ctx context.Context, out *Out) error {
	if err := p.idle(ctx, out); err != nil {
		return err
	}
	for kept := p.oldest(); kept != nil; kept = p.oldest() {
		p.waits.hosts[kept.host].remove(kept)
		if err := p.letGo(ctx, kept, out); err != nil {
			return err
		}
	}
	for _, op := range p.operators {
		if f, ok := op.(Finisher); ok {
			if err := f.Finish(out); err != nil {
				return fmt.Errorf("end of the input: %w", err)
			}
		}
	}
	return p.flush(true, out)
}

// oldest returns what came first and still waits, or nil.
func (p *Pipeline) oldest() *pending {
	if p.waits == nil {
		return nil
	}
	return p.waits.oldest()
}

// Seal writes to the state what is kept in memory between commits. It is called
// after the last record of a transaction and before its commit.
func (p *Pipeline) Seal() error {
	for _, op := range p.operators {
		if s, ok := op.(Sealer); ok {
			if err := s.Seal(); err != nil {
				return err
			}
		}
	}
	if p.guard != nil {
		if err := p.guard.Flush(); err != nil {
			return fmt.Errorf("the books of what came: %w", err)
		}
	}
	if p.retro != nil {
		if err := p.retro.Flush(); err != nil {
			return fmt.Errorf("what was asked about: %w", err)
		}
	}
	if p.waits == nil {
		return nil
	}
	if err := p.clocks.seal(); err != nil {
		return err
	}
	return p.waits.seal(p.now())
}

// revise asks once more about a kept event. It writes a revision when the answer is
// another one; a held one when it is answered, or forced.
func (p *Pipeline) revise(ctx context.Context, kept *pending, forced bool, out *Out) error {
	e := &p.again
	if err := kept.parse(e); err != nil {
		return fmt.Errorf("event %s: %w", kept.id, err)
	}
	p.identify(e, Input{Position: kept.position, Appended: kept.appended, link: kept.link}, kept.sub)
	e.ID = kept.id
	if kept.unnamed {
		e.AddGap("delivery", NoDelivery)
	}
	if err := p.answer(ctx, e); err != nil {
		return err
	}
	p.unsure(e)
	e.Again = true
	if err := p.judged(e, out); err != nil {
		return err
	}
	kept.asked = e.asked
	lacks := lacking(e)
	p.answered(kept.lacks, lacks)
	kept.lacks = lacks
	if e.untold() {
		kept.silent = forced
		return nil
	}
	if kept.held && open(e) && !forced && !p.waits.cfg.Immediate {
		return nil
	}
	revision := kept.revision
	if !kept.held {
		revision++
	}
	e.Revision = p.partial.Base + e.Link.first() + revision
	var answer uint64
	p.value, answer = appendEnriched(p.value[:0], e, p.now(), p.waits.seed, true)
	if !kept.held && answer == kept.answer {
		return nil
	}
	if revision > 0 {
		p.stats.Revised++
	}
	out.Add(p.output(e, out.Copy(p.value)))
	kept.revision, kept.answer = revision, answer
	return p.waits.told(kept, !open(e))
}

// answer asks the joins and lookups about an event that was taken before.
func (p *Pipeline) answer(ctx context.Context, e *Event) error {
	for _, op := range p.operators {
		var err error
		if a, ok := op.(Answerer); ok {
			err = a.Answer(e)
		} else {
			err = op.OnEvent(e, nil)
		}
		if err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	err := p.lookup(ctx, e)
	e.SoughtIn = nil // as in observed
	return err
}

// Waits is what waits in a pipeline at one moment.
type Waits struct {
	// Held events are not told yet, Kept ones may change; Bytes is their memory.
	Held, Kept int
	Bytes      int64
	// Oldest is when the first of them was taken.
	Oldest time.Time
}

// Waits counts what waits.
func (p *Pipeline) Waits() (w Waits) {
	if p.waits == nil {
		return w
	}
	w.Kept, w.Bytes = len(p.waits.ids), p.waits.bytes
	for _, kept := range p.waits.ids {
		if kept.held {
			w.Held++
		}
		if w.Oldest.IsZero() || kept.taken.Before(w.Oldest) {
			w.Oldest = kept.taken
		}
	}
	return w
}
