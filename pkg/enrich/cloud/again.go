package cloud

import (
	"maps"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// again is what of the keys' uses is to be judged again. Only an Operator whose facts
// come beside its records has any.
type again struct {
	// facts and uses are up to where the Tables' changes were looked at.
	facts, uses uint64
	// asks are the instances whose judgement rests on what is known of a subject.
	asks map[cloudtrail.Subject]map[enrich.Host]bool
	// due are the instances of which something is to be judged.
	due map[enrich.Host]bool
	// left are those that are still to be walked through, walked when that began last,
	// by the time at which records were appended, which now is the newest of.
	left        []enrich.Host
	begun       bool
	walked, now time.Time
}

func newAgain() again {
	return again{asks: map[cloudtrail.Subject]map[enrich.Host]bool{}, due: map[enrich.Host]bool{}}
}

// asked notes that what is told of an instance rests on what is known of something.
func (o *Operator) asked(h *host, kind cloudtrail.FactKind, name string) {
	if !o.cfg.Apart || name == "" {
		return
	}
	about := cloudtrail.Subject{Kind: kind, Name: name}
	if o.again.asks[about] == nil {
		o.again.asks[about] = map[enrich.Host]bool{}
	}
	o.again.asks[about][h.id] = true
}

func (o *Operator) passed(appended time.Time) {
	if appended.After(o.again.now) {
		o.again.now = appended
	}
}

const (
	// walkEvery is how often all instances are looked through for what is old.
	walkEvery = time.Hour
	// walkSteps is how many of them are at once.
	walkSteps = 256
	// quietFor is how many times nothing new is to be heard of a key before a finding
	// is told again that only counts on.
	quietFor = 5
)

// OnIdle implements enrich.Idler: it judges what is new, and what rests on facts that
// are.
func (o *Operator) OnIdle(out *enrich.Out) error {
	if !o.cfg.Apart {
		return nil
	}
	about, facts, whole := o.cfg.Facts.Since(o.again.facts)
	more, uses, wholeUses := o.cfg.Uses.Since(o.again.uses)
	o.again.facts, o.again.uses = facts, uses
	if !whole || !wholeUses {
		o.again.begun = false // too much is new to say what of it matters
	}
	for _, s := range append(about, more...) {
		for id := range o.again.asks[s] {
			if h := o.hosts[id]; h != nil {
				h.doubt()
			}
			o.again.due[id] = true
		}
	}
	if err := o.walk(); err != nil {
		return err
	}
	return o.tellDue(out)
}

// tellDue tells what is to be told of the instances that are due.
func (o *Operator) tellDue(out *enrich.Out) error {
	for _, id := range slices.Sorted(maps.Keys(o.again.due)) {
		h, err := o.host(id)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(h.unsure)) {
			k := h.credentials[name]
			k.quiet++
			if err := o.tellCredential(h, k, k.quiet >= quietFor, out); err != nil {
				return err
			}
		}
		if len(h.unsure) == 0 {
			delete(o.again.due, id)
		}
	}
	return nil
}

// walk goes on through the instances of which keys are known: once when the Operator is
// new, since facts may have come meanwhile, and then to forget what is old.
func (o *Operator) walk() error {
	if !o.again.begun || o.again.now.Sub(o.again.walked) >= walkEvery {
		all, err := o.everyone()
		if err != nil {
			return err
		}
		o.again.left = slices.DeleteFunc(all, func(id enrich.Host) bool {
			_, ok := cloudtrail.InstanceID(string(id))
			return !ok
		})
		o.again.begun, o.again.walked = true, o.again.now
	}
	n := min(walkSteps, len(o.again.left))
	for _, id := range o.again.left[:n] {
		h, err := o.host(id)
		if err != nil {
			return err
		}
		h.doubt()
		o.again.due[id] = true
		if o.again.now.IsZero() {
			continue
		}
		if err := o.sweepUses(h, o.again.now); err != nil {
			return err
		}
		if err := o.sweepWords(h, o.again.now); err != nil {
			return err
		}
	}
	o.again.left = o.again.left[n:]
	return nil
}

// sweepUses forgets what no record will be compared with any more.
func (o *Operator) sweepUses(h *host, now time.Time) error {
	for _, name := range slices.Sorted(maps.Keys(h.credentials)) {
		k := h.credentials[name]
		if !k.Last.Before(now.Add(-sharedWithin - o.cfg.Lateness)) {
			continue
		}
		delete(h.credentials, name)
		delete(h.unsure, name)
		delete(o.changed.credentials, k)
		if err := o.drop(h, keyed(credentialKey, name)); err != nil {
			return err
		}
	}
	return nil
}
