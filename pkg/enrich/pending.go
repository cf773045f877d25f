package enrich

import (
	"net/netip"
	"slices"
	"sort"
	"time"
)

// pending is an event whose answer may still change, or is not told yet. Its row is
// kept until nothing can change it; in the state there is only what the row cannot
// tell again (see waits).
type pending struct {
	id   string
	host Host
	// row, position, appended and sub give the event again.
	row      []byte
	position Position
	appended time.Time
	sub      int
	// at is when it happened, for windows, and taken when we first saw it.
	at, taken time.Time
	// held tells that nothing of it was written yet; revision is the last one
	// written, and answer stands for what that told.
	held     bool
	revision int
	answer   uint64
	asked    uint64
	remote   netip.Addr
	// link is set for a link, and read is where this partition read it.
	link *Link
	read Position
	// silent tells of a held one that its window has passed, and that it may be told
	// only if it turns out to be this host's.
	silent bool
	lacks  lacks
	gone   bool
	// unnamed tells that the guard said no_delivery of this row, once for its host.
	unnamed bool
	// noted tells that the state has the revision, parked that it has the row.
	noted, parked bool
}

// weight is about what a pending takes in memory.
func (p *pending) weight() int64 { return int64(len(p.row) + 320) }

// touched tells whether what was learned can change the answer.
func (p *pending) touched(l *Learned) bool {
	return l.Session || l.Names && p.remote.IsValid() || l.PID != 0 && p.asked&classOf(l.PID) != 0 || slices.Contains(l.Addresses, p.remote)
}

// queue holds one host's pendings by the time at which they happened; of one
// second, in the order they came.
type queue struct{ all []*pending }

func (q *queue) add(p *pending) {
	i := len(q.all)
	for i > 0 && q.all[i-1].at.After(p.at) {
		i--
	}
	q.all = slices.Insert(q.all, i, p)
}

// since returns those that happened at t or later.
func (q *queue) since(t time.Time) []*pending {
	return q.all[sort.Search(len(q.all), func(i int) bool { return !q.all[i].at.Before(t) }):]
}

// before takes out those that happened before t.
func (q *queue) before(t time.Time) []*pending {
	n := sort.Search(len(q.all), func(i int) bool { return !q.all[i].at.Before(t) })
	old := q.all[:n:n]
	q.all = q.all[n:]
	return old
}

func (q *queue) remove(p *pending) {
	if i := slices.Index(q.all, p); i >= 0 {
		q.all = slices.Delete(q.all, i, i+1)
	}
}
