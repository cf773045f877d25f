package enrich

import (
	"cmp"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Stats counts what went through a pipeline.
type Stats struct {
	Records     int64
	Rows        map[event.Kind]int64
	DeadLetters int64
	Matches     int64
	Gaps        map[string]int64
	// Revised counts events told again, and WaitCut those that were given up early
	// because too much waited.
	Revised, WaitCut int64
	// Duplicates are rows that the guard dropped; they count nowhere else.
	Duplicates int64
	// Rechecked counts records that were read again for what feeds learned; they count
	// nowhere else.
	Rechecked int64
	// ClockClamped counts rows whose time was too absurd to move a clock.
	ClockClamped int64
	// Late counts, by table, rows that came when their host's clock had left their
	// window behind: what they tell changes no event any more.
	Late map[string]int64
	// Joins counts what the joins answered.
	Joins map[Joined]int64
	// Evicted counts what caps pushed out of a join's state, and Books what the guard
	// did, by words of its own.
	Evicted, Books map[string]int64
	// Routed counts what became of records that did not come keyed by their host.
	Routed map[string]int64
}

// Joined is what became of one question to a join: "process" or "name".
type Joined struct {
	Join   string
	Result JoinResult
}

// JoinResult says what a join answered.
type JoinResult string

// What a join answers.
const (
	JoinHit  JoinResult = "hit"  // at once
	JoinMiss JoinResult = "miss" // not at once
	JoinLate JoinResult = "late" // a miss that was answered later
)

// Counter is an Operator or Guard that counts what it does. Count adds what it counted
// since it was last called.
type Counter interface {
	Count(s *Stats)
}

// NewStats returns counts of nothing.
func NewStats() Stats {
	return Stats{
		Rows: map[event.Kind]int64{}, Gaps: map[string]int64{}, Late: map[string]int64{}, Joins: map[Joined]int64{},
		Evicted: map[string]int64{}, Books: map[string]int64{}, Routed: map[string]int64{},
	}
}

// Add adds o to s, which NewStats made.
func (s *Stats) Add(o Stats) {
	s.Records += o.Records
	s.DeadLetters += o.DeadLetters
	s.Matches += o.Matches
	s.Duplicates += o.Duplicates
	s.Rechecked += o.Rechecked
	s.ClockClamped += o.ClockClamped
	s.Revised += o.Revised
	s.WaitCut += o.WaitCut
	addAll(s.Rows, o.Rows)
	addAll(s.Gaps, o.Gaps)
	addAll(s.Late, o.Late)
	addAll(s.Joins, o.Joins)
	addAll(s.Evicted, o.Evicted)
	addAll(s.Books, o.Books)
	addAll(s.Routed, o.Routed)
}

func addAll[K comparable](to, from map[K]int64) {
	for key, n := range from {
		to[key] += n
	}
}

// TakeStats returns the counts since it was last called.
func (p *Pipeline) TakeStats() Stats {
	taken := p.stats
	p.stats = NewStats()
	if c, ok := p.guard.(Counter); ok {
		c.Count(&taken)
	}
	for _, op := range p.operators {
		if c, ok := op.(Counter); ok {
			c.Count(&taken)
		}
	}
	return taken
}

// count counts an event that happened at a time, when it is first seen.
func (p *Pipeline) count(e *Event, at time.Time) error {
	p.stats.Rows[e.Kind]++
	p.stats.Matches += int64(len(e.Threats))
	for _, g := range e.Gaps {
		p.stats.Gaps[g.Reason]++
	}
	lacks := lacking(e)
	if e.Kind != event.Process && e.asked != 0 {
		p.joined("process", lacks.process)
	}
	if len(e.Names) > 0 || lacks.name {
		p.joined("name", lacks.name)
	}
	p.since.saw(e, at)
	now, err := p.clocks.now(e.Host)
	if err == nil && p.waits != nil && e.Host != "" && now.Sub(at) > p.waits.cfg.Wait {
		p.stats.Late[cmp.Or(e.Lens.Table, string(e.Kind))]++
	}
	return err
}

func (p *Pipeline) joined(join string, lacks bool) {
	result := JoinHit
	if lacks {
		result = JoinMiss
	}
	p.stats.Joins[Joined{join, result}]++
}

// lacks are the questions of an event that no join has answered yet.
type lacks struct{ process, name bool }

func lacking(e *Event) (l lacks) {
	for _, g := range e.Gaps {
		l.process = l.process || g.Question == "process"
		l.name = l.name || g.Reason == NameUnknown
	}
	return l
}

// answered counts what an event lacked before and does not now.
func (p *Pipeline) answered(before, now lacks) {
	if before.process && !now.process {
		p.stats.Joins[Joined{"process", JoinLate}]++
	}
	if before.name && !now.name {
		p.stats.Joins[Joined{"name", JoinLate}]++
	}
}

// Status is how a pipeline fares.
type Status struct {
	Waits
	// Newest is the latest time at which something happened that was taken, zero
	// before the first; a clock that is too far ahead does not move it.
	Newest time.Time
	// Ahead is the most that a host's clock was ahead of the broker's since the last
	// Status, and Behind the most time that lay between a host's making a row durable
	// and the broker's taking it.
	Ahead, Behind time.Duration
	// Busiest are the hosts with most rows since the last Status, most first.
	Busiest []HostRows
}

// HostRows is how many rows a host sent.
type HostRows struct {
	Host Host
	Rows int64
}

const (
	// busiest is how many hosts a Status names.
	busiest = 5
	// maxCounted bounds the hosts counted between two calls of TakeStatus: of more,
	// those that sent first are counted, and a busy one is soon among them.
	maxCounted = 4096
)

// since is what a pipeline saw since the last Status.
type since struct {
	newest        time.Time
	ahead, behind time.Duration
	rows          map[Host]int64
}

func (s *since) saw(e *Event, at time.Time) {
	if at.After(s.newest) {
		s.newest = at
	}
	if e.Delivered && !e.Appended.IsZero() && !e.Delivery.Spooled.IsZero() {
		late := e.Appended.Sub(e.Delivery.Spooled)
		s.ahead, s.behind = max(s.ahead, -late), max(s.behind, late)
	}
	if s.rows == nil {
		s.rows = map[Host]int64{}
	}
	if _, counted := s.rows[e.Host]; counted || len(s.rows) < maxCounted {
		s.rows[e.Host]++
	}
}

// TakeStatus returns how the pipeline fares. It looks through all that waits: once
// every few seconds is often enough.
func (p *Pipeline) TakeStatus() Status {
	taken := p.since
	p.since = since{newest: taken.newest}
	s := Status{Waits: p.Waits(), Newest: taken.newest, Ahead: taken.ahead, Behind: taken.behind}
	for host, n := range taken.rows {
		s.Busiest = append(s.Busiest, HostRows{host, n})
	}
	slices.SortFunc(s.Busiest, func(a, b HostRows) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Host, b.Host)) })
	s.Busiest = slices.Clone(s.Busiest[:min(len(s.Busiest), busiest)])
	return s
}
