package process

import (
	"cmp"
	"slices"
	"time"
)

// maxPerPID caps the versions and endings kept of one pid.
const maxPerPID = 64

// history is all that is known of who had one pid.
type history struct {
	versions []version // by start, order and id
	endings  []ending  // by time
}

// ending says that a pid's process was over.
type ending struct {
	at    int64
	order order
	// gone is set where a `processes` result no longer showed the process; else it
	// was seen to exit.
	gone bool
	// path is what the process ran, where gone.
	path string
}

// ends tells whether the process that v is of was over by then. What a result no
// longer showed is not over where the same or a later one shows it: listed is when
// v's process was last shown.
func (d *ending) ends(v *version, listed int64) bool {
	if d.gone {
		return v.start < d.at && listed < d.at && v.path == d.path
	}
	return v.start < d.at || v.start == d.at && v.order.compare(d.order) < 0
}

// query asks who had a pid at a time. boot is when the system had last started by
// then, 0 where that is not known.
type query struct {
	at, boot int64
	path     []byte
	token    string
}

// slack is how long before the system's own start a process may seem to start.
const slack = int64(5 * time.Second)

// matches tells whether v can be the process that the event says it is.
func (q *query) matches(v *version) bool {
	if q.token != "" && v.token != "" {
		return q.token == v.token
	}
	return len(q.path) == 0 || string(q.path) == v.path
}

// find returns the version whose start is latest, not after the query's time. Rows
// tell times in seconds, so one of the event's own second and the one before it tie:
// the event's path or token decides. Where they contradict, there is no answer.
func (h *history) find(q query) (v *version, contradicted bool) {
	second := q.at - q.at%int64(time.Second)
	last := int64(-1)
	for i := len(h.versions) - 1; i >= 0; i-- {
		c := &h.versions[i]
		if c.start > q.at || h.shadow(c) {
			continue
		}
		if last >= 0 && c.start != last && last < second {
			break
		}
		if last = c.start; h.endedAt(c, q) {
			continue
		}
		if q.matches(c) {
			return c, false
		}
		contradicted = true
	}
	return nil, contradicted
}

// ends tells whether v was over by the ending.
func (h *history) ends(d *ending, v *version) bool {
	if !d.gone {
		return d.ends(v, 0)
	}
	return v.path == d.path && d.ends(v, h.shown(v))
}

// endedAt tells whether v was over before the query's time.
func (h *history) endedAt(v *version, q query) bool {
	if v.start < q.boot-slack {
		return true
	}
	for i := range h.endings {
		if d := &h.endings[i]; d.at < q.at && h.ends(d, v) {
			return true
		}
	}
	return false
}

// end is when v is known to have been over, 0 where it may live.
func (h *history) end(v *version, boots []int64) int64 {
	first := int64(0)
	sooner := func(t int64) {
		if first == 0 || t < first {
			first = t
		}
	}
	for i := range h.endings {
		if d := &h.endings[i]; h.ends(d, v) {
			sooner(d.at)
		}
	}
	for _, b := range boots {
		if v.start < b-slack {
			sooner(b)
		}
	}
	for i := range h.versions {
		if next := &h.versions[i]; compare(next, v) > 0 && h.stands(next, next.listed) != v {
			sooner(next.start)
			break
		}
	}
	return first
}

// over keeps an ending.
func (h *history) over(d ending) (changed bool) {
	if slices.Contains(h.endings, d) {
		return false
	}
	at, _ := slices.BinarySearchFunc(h.endings, d.at, func(d ending, at int64) int { return cmp.Compare(d.at, at) })
	h.endings = slices.Insert(h.endings, at, d)
	if len(h.endings) > maxPerPID {
		h.endings = slices.Delete(h.endings, 0, 1)
	}
	return true
}

// returned tells whether a result at that time showed something gone: what the same
// result shows is not.
func (h *history) returned(at int64) bool {
	return slices.ContainsFunc(h.endings, func(d ending) bool { return d.gone && d.at == at })
}

// previous returns the version that the same process ran before v, or nil. A fork
// or the start of a listed process begins a new one; so does another parent, which
// a process may get when its own ends: then its earlier programs are not told.
func (h *history) previous(v *version, boot int64) *version {
	if v.is(forked | inventory) {
		return nil
	}
	for i := len(h.versions) - 1; i >= 0; i-- {
		c := &h.versions[i]
		if compare(c, v) >= 0 || h.shadow(c) {
			continue
		}
		if c.parent != v.parent || h.endedAt(c, query{at: v.start, boot: boot}) {
			return nil
		}
		return c
	}
	return nil
}
