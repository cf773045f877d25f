package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// DefaultMaxPerHour is how many findings one rule may begin in an hour.
const DefaultMaxPerHour = 200

// again is how long, by its host's clock, a finding waits before it is told again.
const again = time.Minute

// keepDays is how many days after its own a finding may still be added to.
const keepDays = 2

// Config says what findings are raised.
type Config struct {
	Suppressions []Suppression
	// MaxPerHour bounds the findings that one rule begins in an hour of event time;
	// 0 is DefaultMaxPerHour. What goes beyond it is one finding of rule_noisy.
	MaxPerHour int
	// Partition names the partition whose findings are counted for that bound.
	Partition string
	// Revision is added to those of findings (enrich.Partial).
	Revision int64
}

// Policy implements enrich.Judge for one partition.
type Policy struct {
	cfg   Config
	state enrich.State
	// waiting are the keys of findings that changed and were not told; oldest is
	// the day of each host's first finding.
	waiting map[enrich.Host]map[string]waited
	oldest  map[enrich.Host]int64
	now     func() time.Time
}

// waited is when, by its host's clock, a finding may be told again, and whether it
// waits since before the last Flush.
type waited struct {
	due     time.Time
	flushed bool
}

// New returns a Policy over what its State has of the partition. An error is the
// State's.
func New(cfg Config, state enrich.State) (*Policy, error) {
	cfg.MaxPerHour = cmp.Or(cfg.MaxPerHour, DefaultMaxPerHour)
	p := &Policy{
		cfg: cfg, state: state, waiting: map[enrich.Host]map[string]waited{}, oldest: map[enrich.Host]int64{}, now: time.Now,
	}
	err := state.Hosts(func(host enrich.Host) error {
		return state.Scan(host, []byte{recordKey}, func(key, value []byte) error {
			r, err := readRecord(value)
			if err != nil {
				return fmt.Errorf("finding of %s: %w", host, err)
			}
			p.note(host, string(key), r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("findings in the state: %w", err)
	}
	return p, nil
}

// note keeps in memory what of a record has to be found again.
func (p *Policy) note(host enrich.Host, key string, r *record) {
	if day, ok := p.oldest[host]; !ok || r.day < day {
		p.oldest[host] = r.day
	}
	if !r.dirty {
		delete(p.waiting[host], key)
		return
	}
	if p.waiting[host] == nil {
		p.waiting[host] = map[string]waited{}
	}
	if _, ok := p.waiting[host][key]; !ok {
		p.waiting[host][key] = waited{due: r.told.Add(again)}
	}
}

// Judge implements enrich.Judge.
func (p *Policy) Judge(e *enrich.Event, now time.Time, out *enrich.Out) error {
	groups := grouped(e)
	firm := slices.ContainsFunc(groups, func(g group) bool { return !g.weak() })
	for i := range groups {
		if err := p.hit(e, &groups[i], groups[i].severity(firm), now, out); err != nil {
			return err
		}
	}
	return nil
}

// hit adds what an event met to its finding.
func (p *Policy) hit(e *enrich.Event, g *group, severity finding.Severity, now time.Time, out *enrich.Out) error {
	day := dayOf(e.Time)
	id := finding.ID(g.rule(), subject(e), g.best().Type, g.indicator(), time.Unix(day*daySeconds, 0).UTC().Format(time.DateOnly))
	key := keyOf(day, id)
	r, err := p.load(e.Host, key)
	if err != nil {
		return err
	}
	h := newHit(e, g, severity, p.suppression(e, g))
	if e.Link != nil && e.Link.Withdrawn {
		if r == nil {
			return nil
		}
		before := r.verdict()
		if !r.takeBack(h) {
			return nil
		}
		return p.settle(e.Host, key, r, before, now, out)
	}
	if r == nil {
		if admitted, err := p.admit(e, g, h, out); err != nil || !admitted {
			return err
		}
		r = &record{id: id, day: day, rule: g.rule()}
	}
	before := r.verdict()
	if !r.add(h) {
		return nil
	}
	return p.settle(e.Host, key, r, before, now, out)
}

// settle tells a record that changed, or lets it wait, and keeps it.
func (p *Policy) settle(host enrich.Host, key string, r *record, before verdict, now time.Time, out *enrich.Out) error {
	r.dirty = true
	if r.told.IsZero() || r.verdict() != before || !now.Before(r.told.Add(again)) {
		p.tell(host, r, now, out)
	}
	return p.keep(host, key, r)
}

// tell writes a finding's next revision.
func (p *Policy) tell(host enrich.Host, r *record, now time.Time, out *enrich.Out) {
	f := r.finding(host)
	f.Revision += p.cfg.Revision
	out.Add(f.Output(p.now()))
	r.revision++
	r.told, r.dirty = now, false
	if now.IsZero() {
		r.told = time.Unix(1, 0).UTC() // told, by a host without a clock
	}
}

// OnTime implements enrich.Judge: it tells what has waited for a minute of the
// host's time, and forgets findings of days gone by.
func (p *Policy) OnTime(host enrich.Host, now time.Time, out *enrich.Out) error {
	for _, key := range slices.Sorted(maps.Keys(p.waiting[host])) {
		if now.Before(p.waiting[host][key].due) {
			continue
		}
		if err := p.tellWaiting(host, key, now, out); err != nil {
			return err
		}
	}
	if day, ok := p.oldest[host]; ok && day < dayOf(now)-keepDays {
		return p.forget(host, dayOf(now)-keepDays, now, out)
	}
	return nil
}

// Flush implements enrich.Judge: it tells what has waited since the last call, or
// with last all that waits.
func (p *Policy) Flush(last bool, out *enrich.Out) error {
	for _, host := range slices.Sorted(maps.Keys(p.waiting)) {
		for _, key := range slices.Sorted(maps.Keys(p.waiting[host])) {
			w := p.waiting[host][key]
			if !last && !w.flushed {
				w.flushed = true
				p.waiting[host][key] = w
				continue
			}
			if err := p.tellWaiting(host, key, w.due.Add(-again), out); err != nil {
				return err
			}
		}
		if len(p.waiting[host]) == 0 {
			delete(p.waiting, host)
		}
	}
	return nil
}

func (p *Policy) tellWaiting(host enrich.Host, key string, now time.Time, out *enrich.Out) error {
	r, err := p.load(host, key)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("finding of %s that waits to be told is not in the state: restore it", host)
	}
	p.tell(host, r, now, out)
	return p.keep(host, key, r)
}

// forget drops a host's findings of days before first.
func (p *Policy) forget(host enrich.Host, first int64, now time.Time, out *enrich.Out) error {
	var old []string
	delete(p.oldest, host)
	err := p.state.Scan(host, []byte{recordKey}, func(key, value []byte) error {
		r, err := readRecord(value)
		if err != nil {
			return fmt.Errorf("finding of %s: %w", host, err)
		}
		if r.day >= first {
			p.note(host, string(key), r)
			return nil
		}
		if r.dirty {
			p.tell(host, r, now, out)
		}
		old = append(old, string(key))
		return nil
	})
	for i := 0; err == nil && i < len(old); i++ {
		delete(p.waiting[host], old[i])
		err = p.state.Delete(host, []byte(old[i]))
	}
	if err != nil {
		return fmt.Errorf("forget findings of %s: %w", host, err)
	}
	return nil
}

func (p *Policy) load(host enrich.Host, key string) (*record, error) {
	value, err := p.state.Get(host, []byte(key))
	if err != nil || value == nil {
		return nil, err
	}
	r, err := readRecord(value)
	if err != nil {
		return nil, fmt.Errorf("finding of %s: %w", host, err)
	}
	return r, nil
}

func (p *Policy) keep(host enrich.Host, key string, r *record) error {
	p.note(host, key, r)
	if err := p.state.Put(host, []byte(key), r.encode()); err != nil {
		return fmt.Errorf("keep finding %s: %w", r.id, err)
	}
	return nil
}
