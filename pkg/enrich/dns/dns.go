// Package dns answers which name an address was looked up as: what a host's own
// lookups, and what it said in TLS and HTTP, tell about the other end of its sockets.
//
// One name is an attribution, several are candidates, and it never chooses among
// those. It must never look a name up, and never do I/O.
package dns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Config bounds what an Operator keeps. Zero means the default.
type Config struct {
	// TTL stands for that of an answer that tells none (300 s), and Grace is how
	// long after its end a name may still be what a socket was opened for (5 min).
	TTL, Grace time.Duration
	// Keep is how long after that a name is remembered, by its host's clock, for
	// sockets whose rows come late (1 h).
	Keep time.Duration
	// MaxAddresses caps the addresses per host, MaxNames the names per address
	// (8192, 64). Those that end first go first, and are counted.
	MaxAddresses, MaxNames int
	// Format is that in which the State is written: 2, the newest, keeps where each
	// row was read, 1 does not. Both are read.
	Format int
}

func orDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Bounds of one answer.
const (
	maxCandidates = 16 // names told of one socket
	maxChain      = 8  // CNAMEs followed from lookup to lookup
	// skew is how far a socket's time may be before that of the lookup it followed:
	// osquery's times are whole seconds, and of when it stored the row.
	skew = 2 * time.Second
	// spoken is how far a socket may be from the TLS or HTTP event it carried.
	spoken = 5 * time.Minute
	// expects is how long after a name was seen another host's address without one
	// is something that could not be known.
	expects = time.Hour
)

// Operator keeps the names that one partition's hosts looked up. It implements
// enrich.Operator.
type Operator struct {
	cfg   Config
	state enrich.State
	hosts map[enrich.Host]*host
	// evicted counts names and addresses that a cap pushed out, counted those told by
	// Count.
	evicted, counted int64
	buf              []byte
}

// New returns an Operator over what state holds.
func New(cfg Config, state enrich.State) *Operator {
	orDefault(&cfg.TTL, 300*time.Second)
	orDefault(&cfg.Grace, 5*time.Minute)
	orDefault(&cfg.Keep, time.Hour)
	orDefault(&cfg.MaxAddresses, 8192)
	orDefault(&cfg.MaxNames, 64)
	orDefault(&cfg.Format, format)
	return &Operator{cfg: cfg, state: state, hosts: map[enrich.Host]*host{}}
}

// Evicted is the number of names and addresses that the caps have pushed out.
func (o *Operator) Evicted() int64 { return o.evicted }

// Count implements enrich.Counter.
func (o *Operator) Count(s *enrich.Stats) {
	s.Evicted["name"] += o.evicted - o.counted
	o.counted = o.evicted
}

// OnEvent takes lookups, and names that TLS and HTTP events tell, and gives sockets
// the name of their other end. For a socket it only reads: asked again it answers by
// what is known then.
func (o *Operator) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	if e.Host == "" || e.Lens.Inventory && e.Action.Text() == "removed" {
		return nil
	}
	if e.Link != nil && e.Link.Responder {
		return nil // what others asked of it, and called it
	}
	switch e.Kind {
	case event.DNS:
		return o.lookup(e)
	case event.TLS, event.HTTP:
		return o.spoke(e)
	case event.Socket:
		return o.answer(e)
	}
	return nil
}

// Answer implements enrich.Answerer.
func (o *Operator) Answer(e *enrich.Event) error {
	if e.Host == "" || e.Kind != event.Socket || e.Lens.Inventory && e.Action.Text() == "removed" {
		return nil
	}
	return o.answer(e)
}

// OnSide has nothing to take: sensors' lookups come as events.
func (o *Operator) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// OnTime forgets names whose time is over.
func (o *Operator) OnTime(name enrich.Host, now time.Time, _ *enrich.Out) error {
	h, err := o.host(name)
	if err != nil || h.addresses+h.aliases == 0 || now.Before(h.sweepAt) {
		return err
	}
	return o.sweep(name, h, now)
}

// lookup takes a DNS answer: each address in it has the name that was asked, whatever
// CNAMEs lie between. An answer of CNAMEs alone is followed by a lookup of the last.
func (o *Operator) lookup(e *enrich.Event) error {
	question := normal(e.Text(event.Domain))
	if question == "" {
		return nil
	}
	if err := o.sawName(e); err != nil {
		return err
	}
	a := read(e, o.cfg.TTL)
	at, err := o.place(e)
	if err != nil {
		return err
	}
	n := name{
		text: question, pid: asker(e), source: enrich.FromDNS, from: e.Time.Add(-skew), until: e.Time.Add(a.ttl + o.cfg.Grace), id: e.ID, place: at,
	}
	for _, addr := range a.addresses {
		if err := o.learn(e, addressKey(addr), n); err != nil {
			return err
		}
	}
	e.Learned.Addresses = a.addresses
	if !e.Learned.Names { // else of any socket that waits
		e.Learned.Since = n.from
	}
	if len(a.addresses) > 0 {
		return nil
	}
	e.Learned.Names = e.Learned.Names || len(a.aliases) > 0
	for _, alias := range a.aliases {
		if alias == question {
			continue
		}
		if err := o.learn(e, aliasKey(alias), n); err != nil {
			return err
		}
	}
	return nil
}

// spoke takes the name by which a process addressed the other end.
func (o *Operator) spoke(e *enrich.Event) error {
	text, source := normal(e.Text(event.SNI)), enrich.FromSNI
	if text == "" {
		text, source = asked(e.Text(event.HTTPHost), e.Text(event.URL)), enrich.FromHTTP
	}
	addr, port, ok := e.RemoteAddress()
	if text == "" || !ok {
		return nil
	}
	if err := o.sawName(e); err != nil {
		return err
	}
	at, err := o.place(e)
	if err != nil {
		return err
	}
	n := spokenName(e, text, source, port)
	n.place = at
	e.Learned.Addresses = []netip.Addr{addr}
	if !e.Learned.Names {
		e.Learned.Since = n.from
	}
	return o.learn(e, addressKey(addr), n)
}

func spokenName(e *enrich.Event, text string, source enrich.NameSource, port uint16) name {
	return name{text: text, pid: asker(e), port: port, source: source, from: e.Time.Add(-spoken), until: e.Time.Add(spoken), id: e.ID}
}

// asked is the host that an HTTP client asked, by its header or else its URL, where
// that is a name.
func asked(header, url string) string {
	host := header
	if host == "" {
		_, rest, ok := strings.Cut(url, "://")
		if !ok {
			return ""
		}
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			rest = rest[:end]
		}
		host = rest[strings.LastIndexByte(rest, '@')+1:]
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		host = host[:at]
	}
	return normal(host)
}

// asker is the pid that asked, or 0 where it asked for others: a stub resolver's
// lookups are the host's.
func asker(e *enrich.Event) int64 {
	pid, ok := e.Int(event.PID)
	if !ok || pid <= 0 {
		return 0
	}
	path := e.Text(event.Path)
	if e.Process != nil {
		path = e.Process.Executable
	}
	if stub(path) {
		return 0
	}
	return pid
}

// stub tells a program that looks names up for others.
func stub(path string) bool {
	base := strings.ToLower(path[strings.LastIndexAny(path, `/\`)+1:])
	switch strings.TrimSuffix(base, ".exe") {
	case "systemd-resolved", "systemd-resolve", "dnsmasq", "nscd", "unscd", "sssd_nss", "unbound", "named", "stubby", "dnscrypt-proxy",
		"avahi-daemon", "mdnsresponder", "mdnsresponderhelper", "svchost":
		return true
	}
	return false
}
