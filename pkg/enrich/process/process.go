// Package process answers who ran it: the version of a process behind an event,
// and its ancestry. Its Operator owns one partition's hosts.
//
// It never guesses: a pid whose start was not seen, or whose path contradicts
// the event, is a gap. It must never do I/O.
package process

import (
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Config bounds what an Operator keeps.
type Config struct {
	// Live is how long a process version is kept after its start without being
	// replaced; 0 means DefaultLive.
	Live time.Duration
	// MaxPerHost caps the versions kept per host; the oldest go first and are
	// counted. 0 means DefaultMaxPerHost.
	MaxPerHost int
}

// Defaults of Config, and the depth to which an ancestry is followed.
const (
	DefaultLive       = 7 * 24 * time.Hour
	DefaultMaxPerHost = 65536
	maxDepth          = 32
	// adopt is how far apart a start time in `processes` and the time of an
	// exec row may be and still mean one start: the first counts ticks since
	// boot, the second is when osquery stored the row.
	adopt = 2 * time.Second
)

// Operator keeps the processes of one partition's hosts and answers for their
// events. It implements enrich.Operator.
type Operator struct {
	cfg   Config
	hosts map[enrich.Host]*host
	// evicted counts versions that the cap pushed out.
	evicted int64
}

// New returns an Operator with no processes.
func New(cfg Config) *Operator {
	if cfg.Live <= 0 {
		cfg.Live = DefaultLive
	}
	if cfg.MaxPerHost <= 0 {
		cfg.MaxPerHost = DefaultMaxPerHost
	}
	return &Operator{cfg: cfg, hosts: map[enrich.Host]*host{}}
}

// Evicted is the number of versions that the cap has pushed out.
func (o *Operator) Evicted() int64 { return o.evicted }

// OnEvent takes process rows in and gives every event its process.
func (o *Operator) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	if e.Host == "" {
		return nil
	}
	pid, ok := e.Int(event.PID)
	if !ok || pid <= 0 {
		return nil
	}
	h := o.host(e.Host)
	if e.Kind == event.Process {
		o.take(h, e, pid)
		return nil
	}
	if e.Lens.Inventory && e.Action.Text() == "removed" {
		return nil // what is gone when the query runs says nothing of who had the pid
	}
	o.answer(h, e, pid)
	return nil
}

// OnSide has nothing to take: no side record makes or ends a process.
func (o *Operator) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// OnTime forgets versions that outlived their time.
func (o *Operator) OnTime(name enrich.Host, now time.Time, _ *enrich.Out) error {
	h := o.hosts[name]
	if h == nil || now.Before(h.sweepAt) {
		return nil
	}
	h.sweep(now.Add(-o.cfg.Live))
	h.sweepAt = now.Add(o.cfg.Live / 64)
	if h.count == 0 {
		delete(o.hosts, name)
	}
	return nil
}

func (o *Operator) host(name enrich.Host) *host {
	h := o.hosts[name]
	if h == nil {
		h = &host{pids: map[int64][]*version{}, text: map[string]string{}}
		o.hosts[name] = h
	}
	return h
}

// take makes or finds the version that a process row is about, and gives the
// row that version and its ancestry.
func (o *Operator) take(h *host, e *enrich.Event, pid int64) {
	switch {
	case !starts(e):
		o.answer(h, e, pid)
		return
	case e.Action.Text() == "removed":
		h.unlist(pid, e.Text(event.Path))
		return
	}
	v := h.add(o.version(h, e, pid))
	if over := h.count - o.cfg.MaxPerHost; over > 0 {
		o.evicted += int64(h.evict(over + o.cfg.MaxPerHost/16))
	}
	e.Ask(pid)
	e.Learned.PID, e.Learned.Since = pid, v.start
	e.Process = v.describe()
	o.ancestry(h, e, v)
}

// Answer implements enrich.Answerer.
func (o *Operator) Answer(e *enrich.Event) error {
	pid, ok := e.Int(event.PID)
	if e.Host == "" || !ok || pid <= 0 || e.Lens.Inventory {
		return nil
	}
	h := o.host(e.Host)
	if e.Kind != event.Process || !starts(e) {
		o.answer(h, e, pid)
		return nil
	}
	v := h.kept(o.version(h, e, pid))
	e.Ask(pid)
	e.Process = v.describe()
	o.ancestry(h, e, v)
	return nil
}

// starts tells whether a process row means that its pid started to run its
// path. Kill rows carry the sender's pid; rows of kinds we do not know say
// nothing about a start.
func starts(e *enrich.Event) bool {
	if e.Lens.Inventory {
		return true
	}
	syscall := strings.TrimPrefix(e.Text(event.Syscall), "sys_")
	if e.Lens.Table == "es_process_events" {
		return syscall == "exec" // its fork rows carry the pid of who forked
	}
	switch syscall {
	case "", "exec", "execve", "execveat", "fork", "vfork", "clone", "clone3":
		return true
	}
	return false
}

// forked tells a row of a process that has not run a program of its own: its
// path is its parent's.
func forked(e *enrich.Event) bool {
	switch strings.TrimPrefix(e.Text(event.Syscall), "sys_") {
	case "fork", "vfork", "clone", "clone3":
		return true
	}
	return false
}

func (o *Operator) version(h *host, e *enrich.Event, pid int64) *version {
	parent, _ := e.Int(event.ParentPID)
	v := &version{
		pid: pid, parent: parent, start: e.Time, order: order(e),
		path: h.intern(e.Text(event.Path)), commandLine: h.intern(clip(e.Text(event.CommandLine), maxCommandLine)),
		directory: h.intern(e.Text(event.WorkingDirectory)),
		uid:       h.intern(e.Text(event.UID)), auid: h.intern(e.Text(event.AuditUID)),
		inferred: forked(e), inventory: e.Lens.Inventory, listed: e.Lens.Inventory,
	}
	if n, ok := e.Int(event.StartTime); ok && v.inventory {
		v.start = time.Unix(n, 0).UTC()
	}
	v.id = identity(e, v)
	return v
}

// answer gives the event the process that had its pid when it happened.
func (o *Operator) answer(h *host, e *enrich.Event, pid int64) {
	e.Ask(pid)
	v, contradicted := h.find(pid, e.Time, ownPath(e))
	if v == nil {
		reason := enrich.ProcessUnknown
		if contradicted {
			reason = enrich.ProcessMismatch
		}
		e.AddGap("process", reason)
		return
	}
	e.Process = v.describe()
	o.ancestry(h, e, v)
}

// ownPath is what the event itself says its process runs, where its table says
// so reliably: a listening or open unix socket's path is the socket's.
func ownPath(e *enrich.Event) string {
	if e.Lens.Inventory {
		return ""
	}
	return e.Text(event.Path)
}

// ancestry follows parents to pid 1, as they were when each child started.
func (o *Operator) ancestry(h *host, e *enrich.Event, v *version) {
	for range maxDepth {
		if v.pid == 1 || v.parent <= 0 {
			return
		}
		e.Ask(v.parent)
		parent, _ := h.find(v.parent, v.start, "")
		if parent == nil || parent == v {
			e.AddGap("ancestry", enrich.ParentUnknown)
			return
		}
		e.Process.Ancestors = append(e.Process.Ancestors, *parent.describe())
		v = parent
	}
}

// order places versions of one second: osquery's own event number where the
// query names it, else the row's place in its host's stream.
func order(e *enrich.Event) string {
	if eid, ok := e.Field(event.EID); ok && !eid.Empty() {
		return padded(eid.Text(), 20)
	}
	if e.Delivered {
		return padded(strconv.FormatUint(e.Delivery.Seq, 10), 20) + padded(strconv.Itoa(e.Delivery.Row), 10)
	}
	return padded(strconv.FormatInt(e.Position.Offset+e.Position.Line, 10), 20) + e.ID
}

func padded(digits string, n int) string {
	return strings.Repeat("0", max(0, n-len(digits))) + digits
}
