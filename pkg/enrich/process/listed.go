package process

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/internal/origin"
)

// `processes` tells when a process began and what it runs when it is listed. What it
// tells is kept as a version of its own. Where an exec row of that program is known
// from that time, or the same was listed with a start that differs by no more than
// such starts drift, the listed version is but a shadow of that: it answers nothing
// itself, and says that the other was listed.

// shadow tells whether another version stands for v.
func (h *history) shadow(v *version) bool {
	return v.is(inventory) && h.stands(v, v.listed) != v
}

// stands returns the version that v, as it was listed at a time, is about.
func (h *history) stands(v *version, at int64) *version {
	switch {
	case !v.is(inventory) || len(h.versions) < 2:
		return v
	case v.is(unstarted):
		return h.before(v)
	}
	first := h.first(v)
	best := first
	for i := range h.versions {
		c := &h.versions[i]
		if !c.is(inventory) && c.path == v.path && c.start <= at && first.start <= max(c.start, c.until)+adopt && !h.exited(c, at) {
			best = c // the last program that the process began to run
		}
	}
	return best
}

// first is the earliest of the starts that were told for v's process.
func (h *history) first(v *version) *version {
	for i := len(h.versions) - 1; i >= 0; i-- {
		c := &h.versions[i]
		if c.is(inventory) && !c.is(unstarted) && c.path == v.path && c.start <= v.start && v.start-max(c.start, c.until) <= adopt {
			v = c
		}
	}
	return v
}

// before is what ran v's path when v was listed, of a query that leaves the start
// out: the version right before it, if that runs the same.
func (h *history) before(v *version) *version {
	best := v
	for i := len(h.versions) - 1; i >= 0; i-- {
		c := &h.versions[i]
		switch {
		case compare(c, v) >= 0:
			continue
		case c.path != v.path || h.exited(c, v.start):
			return best
		case !c.is(unstarted):
			return h.stands(c, v.start)
		}
		best = c
	}
	return best
}

// exited tells whether v's process was seen to exit before a time.
func (h *history) exited(v *version, at int64) bool {
	for i := range h.endings {
		if d := &h.endings[i]; !d.gone && d.at < at && d.ends(v, 0) {
			return true
		}
	}
	return false
}

// shadows visits the listed versions that v stands for, until visit returns false.
func (h *history) shadows(v *version, visit func(*version) bool) {
	if len(h.versions) < 2 {
		return
	}
	for i := range h.versions {
		s := &h.versions[i]
		if s != v && s.is(inventory) && s.path == v.path && h.stands(s, s.listed) == v && !visit(s) {
			return
		}
	}
}

// shown is when `processes` last showed the process that v is of.
func (h *history) shown(v *version) int64 {
	last := v.listed
	h.shadows(v, func(s *version) bool { last = max(last, s.listed); return true })
	return last
}

// add keeps v. Recited tells that a row which came before gives way to v's as the one
// that tells of its version.
func (h *history) add(v version, origins *origin.Table) (changed, recited bool) {
	at, found := slices.BinarySearchFunc(h.versions, &v, func(c version, v *version) int { return compare(&c, v) })
	if found {
		return h.versions[at].again(&v, origins)
	}
	if v.is(unstarted) {
		if c := h.listing(&v); c != nil {
			return c.again(&v, origins)
		}
	}
	h.versions = slices.Insert(h.versions, at, v)
	return true, false
}

// again takes what another row tells of the same version.
func (v *version) again(row *version, origins *origin.Table) (changed, recited bool) {
	if recited = row.first < v.first || row.first == v.first && origins.Earlier(row.from, v.from); recited {
		v.from = row.from
	}
	return v.is(inventory) && v.list(row) || recited, recited
}

// listing is the version as which an equal one without a start was kept before, or
// nil: nothing is known between the two.
func (h *history) listing(v *version) *version {
	for i := len(h.versions) - 1; i >= 0; i-- {
		c := &h.versions[i]
		if c.start > v.start {
			continue
		}
		if c.is(unstarted) && c.path == v.path && !slices.ContainsFunc(h.endings, func(d ending) bool { return d.at >= c.listed && d.at < v.listed }) {
			return c
		}
		return nil
	}
	return nil
}

// list takes over what a row of `processes` told of the same process: what it is from
// the latest, and its parent from the first, before it may have been given to another.
func (v *version) list(row *version) (changed bool) {
	before := *v
	if row.first < v.first || row.first == v.first && row.parent > v.parent {
		v.first, v.parent = row.first, row.parent
	}
	if row.listed > v.listed || row.listed == v.listed && row.texts() > v.texts() {
		v.commandLine, v.directory, v.uid, v.user, v.container = row.commandLine, row.directory, row.uid, row.user, row.container
		v.flags &^= thin
	}
	if row.listed > v.listed || row.listed == v.listed && row.lister > v.lister {
		v.listed, v.lister = row.listed, row.lister
	}
	return *v != before
}

// texts are what two rows of one listing can differ in.
func (v *version) texts() string {
	return strings.Join([]string{v.commandLine, v.directory, v.uid, v.user, v.container}, "\x00")
}

// absorb takes over what a shadow tells, so that it can be let go.
func (v *version) absorb(s *version) {
	if s.listed > v.listed {
		v.listed, v.lister = s.listed, s.lister
	}
	if !s.is(unstarted) {
		v.until = max(v.until, s.start, s.until)
	}
	v.container, v.user = cmp.Or(v.container, s.container), cmp.Or(v.user, s.user)
}
