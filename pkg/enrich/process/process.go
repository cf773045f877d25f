package process

import (
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Config bounds what an Operator keeps. A zero field means its default.
type Config struct {
	// Live is how long a process that was not seen to end is kept after it was last
	// seen.
	Live time.Duration
	// Unseen is how long after it was last seen a process that started no other
	// becomes a thin record: its name, parent and users.
	Unseen time.Duration
	// Lateness is how long a thin record is kept after that: events and API calls
	// may come as late.
	Lateness time.Duration
	// MaxPerHost and MaxPerPartition cap the versions kept; those unseen longest go
	// first, of the host with most, and are counted.
	MaxPerHost, MaxPerPartition int
	// MaxCached caps the versions that are held decoded in memory.
	MaxCached int
	// Format is that in which the State is written: 2, the newest, keeps where each
	// row was read, 1 does not. Both are read.
	Format int
}

// Defaults of Config.
const (
	DefaultLive            = 7 * 24 * time.Hour
	DefaultUnseen          = time.Hour
	DefaultLateness        = 6 * time.Hour
	DefaultMaxPerHost      = 65536
	DefaultMaxPerPartition = 1 << 20
	DefaultMaxCached       = 1 << 17
	DefaultFormat          = 2
)

func (c Config) withDefaults() Config {
	or := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	orTime := func(t *time.Duration, d time.Duration) {
		if *t <= 0 {
			*t = d
		}
	}
	orTime(&c.Live, DefaultLive)
	orTime(&c.Unseen, DefaultUnseen)
	orTime(&c.Lateness, DefaultLateness)
	or(&c.MaxPerHost, DefaultMaxPerHost)
	or(&c.MaxPerPartition, DefaultMaxPerPartition)
	or(&c.MaxCached, DefaultMaxCached)
	or(&c.Format, DefaultFormat)
	return c
}

// Operator keeps the processes of one partition's hosts and answers for their
// events. It implements enrich.Operator and enrich.Answerer.
//
// What it answers follows from its State and the event alone, so one that is built
// anew over the same State goes on as the old one would have.
type Operator struct {
	cfg   Config
	store *store
	// evicted counts versions that the caps pushed out, counted those told by Count.
	evicted, counted int64
}

// New returns an Operator over what state has.
func New(cfg Config, state enrich.State) *Operator {
	cfg = cfg.withDefaults()
	return &Operator{cfg: cfg, store: newStore(state, cfg.MaxCached, byte(cfg.Format))}
}

// Evicted is the number of versions that this Operator's caps have pushed out.
func (o *Operator) Evicted() int64 { return o.evicted }

// Count implements enrich.Counter.
func (o *Operator) Count(s *enrich.Stats) {
	s.Evicted["process"] += o.evicted - o.counted
	o.counted = o.evicted
}

// OnEvent takes in what rows tell of processes and logins, and gives every event
// with a pid its process. An event that makes or ends no process leaves nothing but
// when its process was seen; it may be handed in again.
func (o *Operator) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	if e.Link != nil {
		return o.link(e)
	}
	if e.Host == "" || !concerns(e) {
		return nil
	}
	h, err := o.store.host(e.Host)
	if err != nil {
		return err
	}
	defer o.store.trim()
	if err := o.takeFacts(h, e); err != nil {
		return err
	}
	pid, ok := pidOf(e)
	if !ok {
		return nil
	}
	if e.Kind == event.Process {
		return o.takeProcess(h, e, pid)
	}
	if v := h.asked(e, pid); v != nil {
		return o.touch(h, pid, v, nanos(e.Time))
	}
	return nil
}

// Answer gives an event that was taken before its answer of now, and keeps nothing.
func (o *Operator) Answer(e *enrich.Event) error {
	if e.Link != nil {
		return o.link(e)
	}
	pid, ok := pidOf(e)
	if e.Host == "" || !ok {
		return nil
	}
	h, err := o.store.host(e.Host)
	if err != nil {
		return err
	}
	defer o.store.trim()
	if e.Kind == event.Process {
		if what := happened(e); what == started || what == listed {
			v := o.version(e, pid)
			h.answerStart(e, pid, &v)
			return nil
		}
	}
	h.asked(e, pid)
	return nil
}

// OnSide has nothing to take: no side record makes or ends a process.
func (o *Operator) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// concerns tells whether the event can tell or ask anything of processes.
func concerns(e *enrich.Event) bool {
	if _, ok := pidOf(e); ok {
		return true
	}
	return e.Lens.Table == "users" || e.Lens.Table == "uptime"
}

func pidOf(e *enrich.Event) (int64, bool) {
	pid, ok := e.Int(event.PID)
	return pid, ok && pid > 0
}

// asked answers an event that says of itself which pid it is of. What is gone when a
// query runs says nothing of who had the pid.
func (h *host) asked(e *enrich.Event, pid int64) *version {
	if e.Lens.Inventory && e.Action.Text() == "removed" {
		return nil
	}
	return h.answer(e, pid)
}

// takeFacts keeps what rows of other tables tell of the host.
func (o *Operator) takeFacts(h *host, e *enrich.Event) error {
	switch e.Lens.Table {
	case "users":
		return o.takeUser(h, e)
	case "docker_containers":
		return o.takeContainer(h, e)
	case "uptime":
		if up, ok := e.Int(event.Uptime); ok && up >= 0 && e.Action.Text() != "removed" {
			return o.takeBoot(h, nanos(e.Time)-up*int64(time.Second))
		}
	case "user_events", "last", "logged_in_users":
		return o.takeLogin(h, e)
	}
	return nil
}

func (o *Operator) takeContainer(h *host, e *enrich.Event) error {
	pid, ok := pidOf(e)
	c := container{e.Text(event.ContainerID), nanos(e.Time), nanos(e.Time)}
	old, known := h.containers[pid]
	if !ok || c.id == "" || e.Action.Text() == "removed" || !known && len(h.containers) >= maxContainers {
		return nil
	}
	if known && old.id == c.id {
		c.from, c.to = min(old.from, c.from), max(old.to, c.to)
	}
	if c == old || known && old.id != c.id && old.to >= c.to {
		return nil
	}
	e.Learned = enrich.Learned{PID: pid}
	return o.store.putContainer(h, pid, c)
}

// maxContainers bounds the containers kept of a host.
const maxContainers = 4096

// takeBoot notes that the host started then. What ran before is over.
func (o *Operator) takeBoot(h *host, at int64) error {
	if at <= 0 || !h.booted(at) {
		return nil
	}
	return o.store.putRecord(h)
}
