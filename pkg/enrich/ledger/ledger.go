// Package ledger keeps the books of what each agent sent: which calls and rows came,
// so that none is taken twice, and which did not come, so that no loss is silent.
//
// It reads the names that logger-ext gives (agent/run/seq/row, and prev, the call
// before on the same topic). It never takes a number that is missing for a loss,
// since topics share the numbers, nor the highest number for all below it. It must
// never drop a row it is not sure to have seen, and never do I/O.
package ledger

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Config bounds what a Ledger keeps, and says when it speaks. Zero means the default.
type Config struct {
	// Heartbeat is the time between two heartbeats of a host; a host that sent
	// some is silent after three times that (5 min).
	Heartbeat time.Duration
	// RowWait is how long, by its host's clock, a call waits for the rest of its
	// rows when no other call comes after it (2 min).
	RowWait time.Duration
	// OldRun is how long after its last call came a run that another followed is
	// remembered (7 days), by append time, or by its host's clock where nobody knows that.
	OldRun time.Duration
	// Forget is how long a host that sends nothing is remembered (30 days).
	Forget time.Duration
	// Alternate is the time within which two agents that take turns under one host
	// identifier are taken to be both alive (1 h).
	Alternate time.Duration
	// MaxRanges, MaxPartial and MaxRuns cap, for one agent, run and topic, the
	// ranges and the calls with missing rows, and for one agent and topic the runs
	// (64, 16, 32). What is over is merged or forgotten, and counted: rows of what
	// was forgotten pass.
	MaxRanges, MaxPartial, MaxRuns int
	// Revision is added to those of findings (enrich.Partial).
	Revision int64
	// Now is the wall clock, which findings are stamped with; nil means time.Now.
	Now func() time.Time
}

func orDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

func (c *Config) defaults() {
	orDefault(&c.Heartbeat, 5*time.Minute)
	orDefault(&c.RowWait, 2*time.Minute)
	orDefault(&c.OldRun, 7*24*time.Hour)
	orDefault(&c.Forget, 30*24*time.Hour)
	orDefault(&c.Alternate, time.Hour)
	orDefault(&c.MaxRanges, 64)
	orDefault(&c.MaxPartial, 16)
	orDefault(&c.MaxRuns, 32)
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Stats counts what a Ledger did.
type Stats struct {
	// Duplicates are rows that came before and were dropped.
	Duplicates int64
	// Unnamed are rows without a name: they can be neither told twice nor missed.
	// UnnamedHosts are the hosts that began to send such.
	Unnamed, UnnamedHosts int64
	// Unsure are rows of calls that were forgotten to stay within a bound, and
	// rows with an impossible name: they pass.
	Unsure int64
	// Merged are ranges that were merged, calls with missing rows and runs that
	// were forgotten, to stay within a bound.
	Merged int64
	// Findings are those written, revisions too.
	Findings int64
}

// Ledger keeps the books of one partition's agents. Unlike an Operator it stands
// before the joins and may drop a row; what it knows is in its State after Flush. It
// is for one goroutine.
type Ledger struct {
	cfg   Config
	state enrich.State
	hosts map[enrich.Host]*host
	last  *host // of the row before, which is mostly the next one's too

	// unnamed are the topics on which rows without a name came: a sender of such
	// may still name its heartbeats and markers.
	unnamed map[string]bool
	// holders are the hosts that sent last under a host identifier.
	holders map[string]*host

	// latest is the last append time seen, resumed the end of the last pause in
	// which nothing was appended, due when the first host is silent.
	latest, resumed, due time.Time

	dirtyHosts   []*host
	dirtyStreams []*stream
	buf          []byte
	stats        Stats
}

// New returns the Ledger that state holds. The error is one of the state, or tells
// that it was written by something else.
func New(cfg Config, state enrich.State) (*Ledger, error) {
	cfg.defaults()
	l := &Ledger{cfg: cfg, state: state, hosts: map[enrich.Host]*host{}, unnamed: map[string]bool{}, holders: map[string]*host{}}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return l, nil
}

// TakeStats returns the counts since it was last called.
func (l *Ledger) TakeStats() Stats {
	taken := l.stats
	l.stats = Stats{}
	return taken
}

// Count implements enrich.Counter. Duplicates are the pipeline's to count.
func (l *Ledger) Count(s *enrich.Stats) {
	taken := l.TakeStats()
	s.Books["unnamed_rows"] += taken.Unnamed
	s.Books["unnamed_hosts"] += taken.UnnamedHosts
	s.Books["unsure_rows"] += taken.Unsure
	s.Books["merged"] += taken.Merged
	s.Books["findings"] += taken.Findings
}

// Check enters a row and tells whether it came before and is to be dropped. Findings
// that it gives rise to go to out.
func (l *Ledger) Check(e *enrich.Event, out *enrich.Out) (drop bool, err error) {
	if e.Host == "" {
		return false, nil
	}
	h := l.host(e.Host)
	l.alive(h, e, out)
	if !e.Delivered || e.Delivery.Agent == "" {
		l.noName(h, e)
		return false, nil
	}
	if drop = l.enter(h, e, out); drop {
		l.stats.Duplicates++
		return true, nil
	}
	l.identify(h, e, out)
	return false, nil
}

// OnTime tells that a host's clock moved: calls that waited long enough for their
// rows are settled, and old runs forgotten.
func (l *Ledger) OnTime(name enrich.Host, now time.Time, out *enrich.Out) error {
	h := l.hosts[name]
	if h == nil {
		return nil
	}
	h.clock = now
	if h.open > 0 {
		l.settleLate(h, now, out)
	}
	if now = h.time(); now.Before(h.sweepAt) {
		return nil
	}
	h.sweepAt = now.Add(l.cfg.OldRun / 64)
	return l.forgetRuns(h, now)
}

// OnTick tells the partition's time, which is append time: no row that was appended
// before it is still to come. It wants to be called at least once a minute, for a
// longer silence of all hosts together is taken for an outage, which makes none of
// them silent. A Ledger that was built anew where nothing came for long takes that
// for one too.
func (l *Ledger) OnTick(now time.Time, out *enrich.Out) error {
	l.flow(now)
	if now.Before(l.due) {
		return nil
	}
	l.due = now.Add(l.silence())
	for _, name := range slices.Sorted(maps.Keys(l.hosts)) {
		if err := l.watch(l.hosts[name], now, out); err != nil {
			return err
		}
	}
	return nil
}

// Flush writes what changed to the State. It is called before the transaction that
// the rows belong to is committed.
func (l *Ledger) Flush() error {
	for _, h := range l.dirtyHosts {
		h.dirty = false
		l.buf = h.append(l.buf[:0])
		if err := l.state.Put(h.name, hostKey(), l.buf); err != nil {
			return fmt.Errorf("ledger of %s: %w", h.name, err)
		}
	}
	for _, s := range l.dirtyStreams {
		s.dirty = false
		l.buf = s.append(l.buf[:0])
		if err := l.state.Put(s.host.name, s.key(), l.buf); err != nil {
			return fmt.Errorf("ledger of %s: %w", s.host.name, err)
		}
	}
	l.dirtyHosts, l.dirtyStreams = l.dirtyHosts[:0], l.dirtyStreams[:0]
	return nil
}

func (l *Ledger) changed(h *host) {
	if !h.dirty {
		h.dirty = true
		l.dirtyHosts = append(l.dirtyHosts, h)
	}
}

func (l *Ledger) changedStream(s *stream) {
	if !s.dirty {
		s.dirty = true
		l.dirtyStreams = append(l.dirtyStreams, s)
	}
}
