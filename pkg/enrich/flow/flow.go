// Package flow answers which of a host's own sockets a network sensor saw: by the
// five-tuple, or by the other end and the time where the host's rows have no local port.
//
// It must never choose between processes that fit equally well, and never do I/O.
package flow

import (
	"net/netip"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Config bounds what an Operator keeps. Zero means the default.
type Config struct {
	// Skew is how far the clocks of a host and a sensor may be apart (5 s).
	Skew time.Duration
	// Keep is how long a socket is remembered after it was opened, by its host's clock
	// (1 h): a sensor's record that comes later, or of a later moment, finds nothing.
	Keep time.Duration
	// MaxPerHost caps the sockets remembered of a host (65536). Beyond it new ones are
	// not, and are counted.
	MaxPerHost int
}

// Defaults of Config.
const (
	DefaultSkew       = 5 * time.Second
	DefaultKeep       = time.Hour
	DefaultMaxPerHost = 65536
)

// A table of open sockets may have shown the one that a record is of so long before it,
// and so long after.
const (
	listedBefore = 10 * time.Minute
	listedAfter  = time.Minute
)

// Operator keeps the sockets of one partition's hosts and finds those that links ask
// for. It stands before the operators that answer by pid. It implements enrich.Operator
// and enrich.Answerer.
type Operator struct {
	cfg   Config
	state enrich.State
	hosts map[enrich.Host]*host
	// evicted counts sockets that the cap kept out, counted those told by Count.
	evicted, counted int64
}

// host is what is at hand of one host.
type host struct {
	sockets int
	sweepAt time.Time
	// asked is the time of the latest link, since this Operator was built: links that
	// wait are asked again before anything else is taken.
	asked time.Time
}

// New returns an Operator over what state holds.
func New(cfg Config, state enrich.State) *Operator {
	if cfg.Skew <= 0 {
		cfg.Skew = DefaultSkew
	}
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.MaxPerHost <= 0 {
		cfg.MaxPerHost = DefaultMaxPerHost
	}
	return &Operator{cfg: cfg, state: state, hosts: map[enrich.Host]*host{}}
}

// Count implements enrich.Counter.
func (o *Operator) Count(s *enrich.Stats) {
	s.Evicted["socket"] += o.evicted - o.counted
	o.counted = o.evicted
}

// OnEvent remembers sockets, and gives links those that fit.
func (o *Operator) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	switch {
	case e.Host == "":
		return nil
	case e.Link != nil:
		return o.answer(e)
	case e.Kind == event.Socket && e.Action.Text() != "removed":
		return o.take(e)
	}
	return nil
}

// Answer implements enrich.Answerer.
func (o *Operator) Answer(e *enrich.Event) error {
	if e.Host == "" || e.Link == nil {
		return nil
	}
	return o.answer(e)
}

// OnSide has nothing to take: sensors' records come as events.
func (o *Operator) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// OnTime forgets sockets that are too old to be asked for.
func (o *Operator) OnTime(name enrich.Host, now time.Time, _ *enrich.Out) error {
	h, err := o.host(name)
	if err != nil || h.sockets == 0 || now.Before(h.sweepAt) {
		return err
	}
	h.sweepAt = now.Add(o.cfg.Keep / 4)
	var old [][]byte
	err = o.scan(name, nil, func(key []byte, s *socket) {
		if now.Sub(s.at) > o.cfg.Keep+o.cfg.Skew {
			old = append(old, append([]byte(nil), key...))
		}
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := o.state.Delete(name, key); err != nil {
			return wrap(name, err)
		}
	}
	if h.sockets -= len(old); h.sockets == 0 && now.Sub(h.asked) > o.cfg.Keep {
		delete(o.hosts, name)
	}
	return nil
}

// take remembers a socket, and has links asked again that it may answer.
func (o *Operator) take(e *enrich.Event) error {
	addr, port, ok := e.RemoteAddress()
	pid, known := e.Int(event.PID)
	if !ok || !known || pid <= 0 || addr.IsUnspecified() || addr.IsLoopback() {
		return nil
	}
	s := socket{
		remote: addr, remotePort: port, local: local(e), localPort: localPort(e), pid: pid, at: e.Time, listed: e.Lens.Inventory,
		event: e.ID, position: e.Position, late: e.Lateness(),
	}
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	key := s.key()
	before, err := o.state.Get(e.Host, key)
	if err != nil {
		return wrap(e.Host, err)
	}
	if before == nil {
		if h.sockets >= o.cfg.MaxPerHost {
			o.evicted++
			return nil
		}
		h.sockets++
	}
	if err := o.state.Put(e.Host, key, s.encode()); err != nil {
		return wrap(e.Host, err)
	}
	since := s.at.Add(-o.cfg.Skew)
	if s.listed {
		since = s.at.Add(-listedAfter)
	}
	if !h.asked.Before(since) {
		e.Learned.Addresses, e.Learned.Since = []netip.Addr{addr}, since
	}
	return nil
}

// answer gives a link the sockets that it may have been.
func (o *Operator) answer(e *enrich.Event) error {
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	if e.Time.After(h.asked) {
		h.asked = e.Time
	}
	e.Link.Slack = max(o.cfg.Skew+time.Second, listedAfter)
	addr, port, ok := e.RemoteAddress()
	if !ok {
		e.AddGap("process", enrich.ProcessUnknown)
		return nil
	}
	w := wanted{local: local(e), localPort: localPort(e), remotePort: port, at: e.Time, skew: o.cfg.Skew}
	if err := o.scan(e.Host, prefix(addr), func(_ []byte, s *socket) { w.see(s) }); err != nil {
		return err
	}
	found := w.found()
	for i := range found {
		s := &found[i]
		e.Link.Sockets = append(e.Link.Sockets, enrich.Socket{PID: s.pid, At: s.at, Event: s.event})
	}
	e.Link.Sockets = enrich.SortSockets(e.Link.Sockets)
	switch len(e.Link.Sockets) {
	case 0:
		e.AddGap("process", enrich.ProcessUnknown)
	case 1:
	default:
		e.AddGap("process", enrich.ProcessPossible)
	}
	o.cite(e, found)
	return nil
}

// cite names the rows that the sockets told are from.
func (o *Operator) cite(e *enrich.Event, found []socket) {
	for i := range e.Link.Sockets {
		for j := range found {
			if s := &found[j]; s.event == e.Link.Sockets[i].Event {
				e.Evidence = append(e.Evidence, enrich.Evidence{For: "socket", ID: s.event, Position: s.position, Lateness: s.late})
				break
			}
		}
	}
}

func local(e *enrich.Event) netip.Addr {
	addr, err := netip.ParseAddr(e.Text(event.LocalAddress))
	if err != nil || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func localPort(e *enrich.Event) uint16 {
	n, ok := e.Int(event.LocalPort)
	if !ok || n < 0 || n > 1<<16-1 {
		return 0
	}
	return uint16(n)
}
