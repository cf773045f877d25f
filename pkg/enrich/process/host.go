package process

import (
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// host is what is known of one host, decoded. All of it is in the State too.
type host struct {
	name       enrich.Host
	pids       map[int64]*history
	count      int // of versions
	logins     map[int64]*logins
	users      map[string]user
	containers map[int64]container
	record     record
}

// empty tells whether nothing is known of the host.
func (h *host) empty() bool {
	return len(h.pids)+len(h.logins)+len(h.users)+len(h.containers) == 0
}

// record is what is kept once for a host.
type record struct {
	// sweepAt is when its clock is to reach before what is old is looked for.
	sweepAt int64
	// evicted is when versions were last given up for want of room, 0 for never.
	evicted int64
	// boots are when the system started, oldest first.
	boots []int64
	// snapshot is the result of `processes` that is coming in row by row.
	snapshot snapshot
	// origins are where its rows were read.
	origins origin.Table
}

// snapshot is how much of one `processes` result came.
type snapshot struct {
	call   string // run/seq
	lister uint32
	at     int64
	next   int // the row that is to come
}

// user is what one user is called, as told last.
type user struct {
	name string
	at   int64
}

// container is the container whose first process had a pid, from when it was first
// listed to when it was last.
type container struct {
	id       string
	from, to int64
}

func newHost(name enrich.Host) *host {
	return &host{
		name: name, pids: map[int64]*history{}, logins: map[int64]*logins{},
		users: map[string]user{}, containers: map[int64]container{},
	}
}

const (
	// maxBoots and sameBoot bound the starts of a system that are told apart: its
	// start is computed from its uptime and moves with its clock.
	maxBoots = 8
	sameBoot = int64(2 * time.Minute)
)

// boot is when the system had last started by then, 0 where that is not known.
func (h *host) boot(at int64) (last int64) {
	for _, b := range h.record.boots {
		if b <= at {
			last = b
		}
	}
	return last
}

// booted notes that the system started then. Of what is told of one start, the
// earliest counts.
func (h *host) booted(at int64) (changed bool) {
	for i, b := range h.record.boots {
		if at >= b-sameBoot && at <= b+sameBoot {
			h.record.boots[i] = min(b, at)
			return at < b
		}
	}
	place, _ := slices.BinarySearch(h.record.boots, at)
	h.record.boots = slices.Insert(h.record.boots, place, at)
	if len(h.record.boots) > maxBoots {
		h.record.boots = h.record.boots[1:]
	}
	return true
}

// find returns who had the pid at a time, as history.find does.
func (h *host) find(pid, at int64, path []byte, token string) (v *version, contradicted bool) {
	who := h.pids[pid]
	if who == nil {
		return nil, false
	}
	return who.find(query{at: at, boot: h.boot(at), path: path, token: token})
}

// userName is what the user of that id is called, where the host told.
func (h *host) userName(uid string) string {
	if uid == "" || len(h.users) == 0 {
		return ""
	}
	return h.users[uid].name
}

// contained is the container that a version is known to run in by itself.
func (h *host) contained(pid int64, v *version) (id string) {
	who := h.pids[pid]
	if v.container != "" || who == nil {
		return v.container
	}
	who.shadows(v, func(s *version) bool { id = s.container; return id == "" })
	if c, ok := h.containers[pid]; ok && id == "" && (h.sameProcess(who, v, c.to) || h.sameProcess(who, v, c.from)) {
		return c.id
	}
	return id
}

// sameProcess tells whether v is of the process that had its pid at a time. It may
// have run other programs since.
func (h *host) sameProcess(who *history, v *version, at int64) bool {
	if at < v.start {
		return false
	}
	then, _ := who.find(query{at: at, boot: h.boot(at)})
	for range maxPerPID {
		if then == nil || then == v {
			break
		}
		then = who.previous(then, h.boot(then.start))
	}
	return then == v
}
