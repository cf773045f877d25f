package process

import (
	"cmp"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// sweepEvery is how far a host's clock moves between two looks for what is old.
const sweepEvery = 15 * time.Minute

// OnTime makes thin and forgets what outlived its time.
func (o *Operator) OnTime(name enrich.Host, now time.Time, _ *enrich.Out) error {
	due, err := o.due(name, nanos(now))
	if !due || err != nil {
		return err
	}
	h, err := o.store.host(name)
	if err != nil {
		return err
	}
	defer o.store.trim()
	return o.sweep(h, nanos(now))
}

// due tells whether a host has to be swept, without decoding one that has not.
func (o *Operator) due(name enrich.Host, now int64) (bool, error) {
	if e := o.store.hosts[name]; e != nil {
		h := e.Value.(*host)
		return h.record.sweepAt <= now && !h.empty(), nil
	}
	value, err := o.store.state.Get(name, []byte{hostKey})
	if err != nil || value == nil {
		return false, err
	}
	r, err := newReader(value, nil).record()
	return r.sweepAt <= now, err
}

func (o *Operator) sweep(h *host, now int64) error {
	parents := h.parents(o.cfg, now)
	for pid, who := range h.pids {
		if !o.age(h, who, parents, now) {
			continue
		}
		if err := o.store.putPID(h, pid, who); err != nil {
			return err
		}
	}
	if err := o.sweepLogins(h, now); err != nil {
		return err
	}
	if h.record.evicted+int64(o.cfg.Live) < now {
		h.record.evicted = 0
	}
	h.record.sweepAt = now - now%int64(sweepEvery) + int64(sweepEvery)
	return o.store.putRecord(h)
}

// age makes thin and forgets the old versions and endings of one pid.
func (o *Operator) age(h *host, who *history, parents map[*version]bool, now int64) (changed bool) {
	before := len(who.versions)
	o.settle(who, now)
	var old []bool
	for i := range who.versions {
		v := &who.versions[i]
		left := h.left(o.cfg, who, v, parents[v], now)
		old = append(old, left == forgotten)
		if left == thinOnly && !v.is(thin) {
			v.thinned()
			changed = true
		}
	}
	i := -1
	who.versions = slices.DeleteFunc(who.versions, func(version) bool { i++; return old[i] })
	o.store.counted(h, len(who.versions)-before)
	endings := len(who.endings)
	who.endings = slices.DeleteFunc(who.endings, func(d ending) bool { return d.at+int64(o.cfg.Lateness) <= now })
	return changed || before != len(who.versions) || endings != len(who.endings)
}

// settle lets go of shadows that no late row can change any more.
func (o *Operator) settle(who *history, now int64) {
	for i := 0; i < len(who.versions); i++ {
		s := who.versions[i]
		if !who.shadow(&who.versions[i]) || s.listed+int64(o.cfg.Unseen) > now {
			continue
		}
		who.stands(&who.versions[i], s.listed).absorb(&s)
		who.versions = slices.Delete(who.versions, i, i+1)
		i--
	}
}

// What is kept of a version.
type keeping uint8

const (
	whole keeping = iota
	thinOnly
	forgotten
)

// left is what is to be kept of v at a time. What is over is thin when it was over
// for a while, and so is what was not seen as long and has no children. What
// `processes` still lists is told once, and may run for years.
func (h *host) left(cfg Config, who *history, v *version, parent bool, now int64) keeping {
	end, shown := who.end(v, h.record.boots), who.shown(v)
	since := max(v.alive(), shown, end)
	switch {
	case end == 0 && shown > 0 || who.shadow(v):
		return whole
	case parent && since+int64(cfg.Live) > now:
		return whole
	case since+int64(cfg.Unseen)+int64(cfg.Lateness) <= now:
		return forgotten
	case since+int64(cfg.Unseen) <= now:
		return thinOnly
	}
	return whole
}

// parents are the versions in the ancestry of one that is kept whole for its own
// sake.
func (h *host) parents(cfg Config, now int64) map[*version]bool {
	marked := map[*version]bool{}
	for pid, who := range h.pids {
		for i := range who.versions {
			v := &who.versions[i]
			if h.left(cfg, who, v, false, now) == whole {
				h.mark(marked, link{v, pid})
			}
		}
	}
	return marked
}

func (h *host) mark(marked map[*version]bool, k link) {
	for k.pid != 1 && k.parent > 0 {
		parent, _ := h.find(k.parent, k.start, nil, "")
		if parent == nil || marked[parent] {
			return
		}
		marked[parent] = true
		k = link{parent, k.parent}
	}
}

// sweepLogins forgets what is told of logins that are over or were never seen to
// end, and of containers.
func (o *Operator) sweepLogins(h *host, now int64) error {
	for pid, l := range h.logins {
		all := l.all(h, pid)
		edge := now - int64(o.cfg.Live)
		if n := len(all); n > 0 && all[n-1].end > 0 && all[n-1].end+int64(o.cfg.Lateness) <= now {
			edge = now
		}
		n := len(l.facts)
		l.facts = slices.DeleteFunc(l.facts, func(f fact) bool { return f.at <= edge })
		if n == len(l.facts) {
			continue
		}
		l.done = false
		if err := o.store.putLogins(h, pid, l); err != nil {
			return err
		}
	}
	for pid, c := range h.containers {
		if h.pids[pid] != nil || c.to+int64(o.cfg.Lateness) > now {
			continue
		}
		if err := o.store.dropContainer(h, pid); err != nil {
			return err
		}
	}
	return nil
}

// bound gives up versions while the host or the partition has too many.
func (o *Operator) bound(h *host, now int64) error {
	if h.count > o.cfg.MaxPerHost {
		if err := o.evict(h, h.count-o.cfg.MaxPerHost+o.cfg.MaxPerHost/16, now); err != nil {
			return err
		}
	}
	if o.store.total <= o.cfg.MaxPerPartition {
		return nil
	}
	largest, err := o.store.host(o.store.largest())
	if err != nil {
		return err
	}
	return o.evict(largest, min(largest.count, o.store.total-o.cfg.MaxPerPartition+largest.count/16), now)
}

// largest is the host with most versions, the first of several.
func (s *store) largest() (name enrich.Host) {
	for other, n := range s.counts {
		if most := s.counts[name]; n > most || n == most && other < name {
			name = other
		}
	}
	return name
}

// evict gives up the n versions that were unseen longest.
func (o *Operator) evict(h *host, n int, now int64) error {
	type aged struct {
		alive int64
		pid   int64
		id    string
	}
	all := make([]aged, 0, h.count)
	for pid, who := range h.pids {
		for i := range who.versions {
			all = append(all, aged{who.versions[i].alive(), pid, who.versions[i].id})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Or(cmp.Compare(a.alive, b.alive), cmp.Compare(a.id, b.id)) })
	all = all[:min(n, len(all))]
	for _, a := range all {
		who := h.pids[a.pid]
		who.versions = slices.DeleteFunc(who.versions, func(v version) bool { return v.id == a.id })
		if err := o.store.putPID(h, a.pid, who); err != nil {
			return err
		}
	}
	o.gaveUp(h, len(all), now)
	return o.store.putRecord(h)
}

func (o *Operator) gaveUp(h *host, n int, now int64) {
	o.store.counted(h, -n)
	o.evicted += int64(n)
	h.record.evicted = max(h.record.evicted, now)
}
