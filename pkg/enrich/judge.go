package enrich

import (
	"fmt"
	"time"
)

// Judge raises findings from events with their answers. Like an Operator it owns one
// partition's share, is called by one goroutine, and is thrown away when a
// transaction is aborted.
type Judge interface {
	// Judge sees an event as soon as it is taken, be it told or held, and again
	// (Event.Again) each time it was asked about once more. now is its host's clock.
	Judge(e *Event, now time.Time, out *Out) error
	// OnTime tells that a host's clock moved.
	OnTime(host Host, now time.Time, out *Out) error
	// Flush is called once a minute of our own time, and with last when no more
	// input will come: what waits for a host's clock may wait for one that has
	// stopped.
	Flush(last bool, out *Out) error
}

// flushEvery is the time between two calls of Judge.Flush.
const flushEvery = time.Minute

// Judge sets who raises findings. It is called before Process.
func (p *Pipeline) Judge(j Judge) { p.judge = j }

func (p *Pipeline) judged(e *Event, out *Out) error {
	if p.judge == nil || len(e.Threats) == 0 || e.Elsewhere || e.untold() {
		return nil
	}
	now, err := p.clocks.now(e.Host)
	if err != nil {
		return err
	}
	if err := p.judge.Judge(e, now, out); err != nil {
		return fmt.Errorf("event %s: findings: %w", e.ID, err)
	}
	return nil
}

// flush lets the judge tell what no host's clock will.
func (p *Pipeline) flush(last bool, out *Out) error {
	now := p.now()
	if p.judge == nil || !last && now.Sub(p.flushed) < flushEvery {
		return nil
	}
	p.flushed = now
	if err := p.judge.Flush(last, out); err != nil {
		return fmt.Errorf("findings: %w", err)
	}
	return nil
}
