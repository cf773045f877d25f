package process

import (
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// seenStep is how exactly it is kept when a process was last seen: each step is a
// write to the State.
const seenStep = int64(10 * time.Minute)

// takeProcess keeps what a process row tells, and gives the row its process.
func (o *Operator) takeProcess(h *host, e *enrich.Event, pid int64) error {
	switch happened(e) {
	case started, listed:
		return o.takeStart(h, e, pid)
	case split:
		return o.takeSplit(h, e, pid)
	case ended:
		h.asked(e, pid)
		return o.takeEnd(h, e, pid, ending{at: nanos(e.Time), order: orderOf(e)})
	case absent:
		return o.takeEnd(h, e, pid, ending{at: nanos(e.Time), gone: true, path: o.text(e, event.Path)})
	}
	h.asked(e, pid)
	return nil
}

func (o *Operator) takeStart(h *host, e *enrich.Event, pid int64) error {
	v := o.version(e, pid)
	var err error
	if v.from, err = o.store.place(h, e); err != nil {
		return err
	}
	if pid == 1 && v.is(inventory) && !v.is(unstarted) {
		if err := o.takeBoot(h, v.start); err != nil {
			return err
		}
	}
	if err := o.keep(h, e, pid, v); err != nil {
		return err
	}
	h.answerStart(e, pid, &v)
	if v.is(inventory) {
		return o.takeSnapshot(h, e)
	}
	return nil
}

// answerStart gives a row that tells of a process that process.
func (h *host) answerStart(e *enrich.Event, pid int64, v *version) {
	e.Ask(pid)
	h.tell(e, link{h.kept(pid, v), pid}, nanos(e.Time))
}

// kept returns the version as which v is kept, or v where it is not kept any more.
func (h *host) kept(pid int64, v *version) *version {
	who := h.pids[pid]
	if who == nil {
		return v
	}
	if i := slices.IndexFunc(who.versions, func(c version) bool { return c.id == v.id }); i >= 0 {
		return who.stands(&who.versions[i], v.listed)
	}
	if v.is(unstarted) {
		if c := who.listing(v); c != nil {
			return who.stands(c, v.listed)
		}
	}
	return v
}

// takeSplit keeps the child that a fork row tells of.
func (o *Operator) takeSplit(h *host, e *enrich.Event, pid int64) error {
	h.asked(e, pid)
	child, ok := e.Int(event.ChildPID)
	if !ok || child <= 0 {
		return nil
	}
	v := o.child(e, pid, child)
	var err error
	if v.from, err = o.store.place(h, e); err != nil {
		return err
	}
	return o.keep(h, e, child, v)
}

// keep adds a version of a pid.
func (o *Operator) keep(h *host, e *enrich.Event, pid int64, v version) error {
	if err := o.store.tally(); err != nil {
		return err
	}
	who := h.pids[pid]
	if who == nil {
		who = &history{}
	}
	before := len(who.versions)
	changed, recited := who.add(v, &h.record.origins)
	if !changed {
		return nil
	}
	if len(who.versions) != before || recited || who.returned(v.listed) {
		e.Learned = enrich.Learned{PID: pid, Since: instant(v.start)}
	}
	o.store.counted(h, len(who.versions)-before)
	if len(who.versions) > maxPerPID {
		who.versions = slices.Delete(who.versions, 0, 1)
		o.gaveUp(h, 1, v.start)
		if err := o.store.putRecord(h); err != nil {
			return err
		}
	}
	if err := o.store.putPID(h, pid, who); err != nil {
		return err
	}
	return o.bound(h, v.alive())
}

// touch notes that a process was seen to live.
func (o *Operator) touch(h *host, pid int64, v *version, at int64) error {
	at -= at % seenStep
	if at <= v.alive() {
		return nil
	}
	v.seen = at
	return o.store.putPID(h, pid, h.pids[pid])
}

// takeEnd keeps that a pid's process is over.
func (o *Operator) takeEnd(h *host, e *enrich.Event, pid int64, d ending) error {
	who := h.pids[pid]
	if who == nil {
		who = &history{}
	}
	if !who.over(d) {
		return nil
	}
	e.Learned = enrich.Learned{PID: pid, Since: e.Time}
	return o.store.putPID(h, pid, who)
}

// takeSnapshot counts the rows of a `processes` result. When all came, what the same
// query showed before and does not show now is gone.
func (o *Operator) takeSnapshot(h *host, e *enrich.Event) error {
	d := &e.Delivery
	if !e.Delivered || e.Action.Text() != "snapshot" || d.Rows == 0 {
		return nil
	}
	s := &h.record.snapshot
	call := d.Run + "/" + strconv.FormatUint(d.Seq, 10)
	if d.Row == 0 {
		*s = snapshot{call: call, lister: lister(e), at: nanos(e.Time)}
	}
	if s.call != call || s.next != d.Row {
		return nil // it came before, or a row is missing
	}
	s.next++
	if s.next == d.Rows {
		if err := o.absences(h, *s); err != nil {
			return err
		}
	}
	return o.store.putRecord(h)
}

func (o *Operator) absences(h *host, s snapshot) error {
	for pid, who := range h.pids {
		changed := false
		for i := range who.versions {
			v := &who.versions[i]
			if v.listed == 0 || v.lister != s.lister || who.shown(v) >= s.at || who.endedAt(v, query{at: s.at}) {
				continue
			}
			changed = who.over(ending{at: s.at, gone: true, path: v.path}) || changed
		}
		if !changed {
			continue
		}
		if err := o.store.putPID(h, pid, who); err != nil {
			return err
		}
	}
	return nil
}
