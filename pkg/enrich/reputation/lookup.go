package reputation

import (
	"bytes"
	"context"
	"net/netip"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxThreats bounds the matches one event carries. A command line can be made to
// hold a hundred thousand bad addresses; an event with more says matches_cut.
const maxThreats = 100

// Lookup asks the Index in use about the addresses, names, URLs, hashes, paths and
// fingerprints of an event, the names that joins gave its other end, and what its
// command line holds. It implements enrich.Enricher.
type Lookup struct {
	store *Store
	// observe has it note in Event.Sought what it asked about.
	observe bool
}

// New returns a Lookup that asks store's Index of the moment.
func New(store *Store) *Lookup { return &Lookup{store: store} }

// NewObserving returns a Lookup that also notes in each event's Sought and SoughtIn what
// it asked about, and which Index, for who looks in what has passed later.
func NewObserving(store *Store) *Lookup { return &Lookup{store, true} }

// Name is "reputation".
func (l *Lookup) Name() string { return "reputation" }

// Enrich adds a Threat for each indicator that a field of the event meets. An
// event that was asked about while a configured feed has never been loaded gets
// the gap feed_unavailable. The error is always nil.
func (l *Lookup) Enrich(_ context.Context, e *enrich.Event) error {
	q := question{index: l.store.Current(), event: e}
	if l.observe {
		q.seen, e.SoughtIn = (*Sought)(&e.Sought), q.index
	}
	var buf [1024]byte
	q.remote(buf[:0])
	q.origin(buf[:0])
	q.call(buf[:0])
	q.names(buf[:0])
	q.joined(buf[:0])
	q.fingerprints(buf[:0])
	q.hashes(buf[:0])
	q.paths(buf[:0])
	q.columns(buf[:0])
	if value, ok := q.value(event.CommandLine, buf[:0]); ok {
		q.words(spot{field: "process.command_line", seenIn: enrich.SeenInCommandLine}, value)
	}
	if q.asked && len(q.index.missing) > 0 {
		e.AddGap("reputation", enrich.FeedUnavailable)
	}
	return nil
}

// question is one event's dealings with one Index.
type question struct {
	index *Index
	event *enrich.Event
	// asked tells that the event had something to look up.
	asked bool
	// seen notes it, nil for not.
	seen *Sought
}

// spot is where a value was met: the ECS field, and what else a match says of it.
type spot struct {
	field  string
	seenIn enrich.SeenIn
	// talk tells a value that says with whom the event's conversation was; the
	// match then has its direction, or began where that is given.
	talk  bool
	began enrich.Direction
}

// value returns a field's text, in buf where it must be unescaped. ok is false
// where it says nothing.
func (q *question) value(f event.Field, buf []byte) (text []byte, ok bool) {
	v, ok := q.event.Field(f)
	if !ok || v.Empty() {
		return nil, false
	}
	if v.Escaped {
		return v.AppendText(buf), true
	}
	return v.Raw, true
}

// words asks about whatever in text looks like a host or a URL.
func (q *question) words(s spot, text []byte) {
	for c, w, ok := (words{line: text}).next(); ok; c, w, ok = w.next() {
		if c.isURL {
			q.url(s, s, c.text)
		} else if addr, isAddress := parseAddr(c.text); isAddress {
			q.address(s, c.text, addr, c.port)
		} else {
			q.domain(s, c.text, c.port)
		}
	}
}

// url asks about a URL and its host.
func (q *question) url(s, host spot, text []byte) {
	var buf [512]byte
	l, ok := parseURL(buf[:0], text)
	if !ok {
		return
	}
	q.asked = true
	q.keep(s, text, q.index.url(q.event.Threats, text, q.event.Time, q.seen))
	if l.addr.IsValid() {
		q.address(host, l.host, l.addr, l.port)
	} else {
		q.domain(host, l.host, l.port)
	}
}

// host asks about an address or a name, which may have a port.
func (q *question) host(s spot, text []byte) {
	name, digits, ok := splitPort(text)
	if !ok {
		return
	}
	port, _ := parsePort(digits)
	if addr, isAddress := parseAddr(bytes.Trim(name, "[]")); isAddress {
		q.address(s, name, addr, port)
	} else {
		q.domain(s, name, port)
	}
}

func (q *question) address(s spot, text []byte, addr netip.Addr, port uint16) {
	q.asked = true
	q.keep(s, text, q.index.address(q.event.Threats, addr, port, q.event.Time, q.seen))
}

func (q *question) domain(s spot, text []byte, port uint16) {
	q.asked = q.asked || bytes.IndexByte(text, '.') > 0
	q.keep(s, text, q.index.host(q.event.Threats, text, port, q.event.Time, q.seen))
}

// keep takes the threats that were appended to the event's, without those that
// it has already, and fills in where they were met.
func (q *question) keep(s spot, atomic []byte, found []enrich.Threat) {
	e := q.event
	for i := len(e.Threats); i < len(found); i++ {
		t := found[i]
		t.Field, t.Atomic, t.SeenIn, t.Direction = s.field, string(atomic), s.seenIn, s.began
		if s.talk && s.began == "" {
			t.Direction = e.Direction()
		}
		switch {
		case known(e.Threats, &t):
		case len(e.Threats) >= maxThreats:
			e.AddGap("matches", enrich.MatchesCut)
		default:
			e.Threats = append(e.Threats, t)
		}
	}
}

// known tells whether the same field met the same indicator before.
func known(threats []enrich.Threat, t *enrich.Threat) bool {
	for i := range threats {
		o := &threats[i]
		if o.Indicator == t.Indicator && o.Type == t.Type && o.Port == t.Port && o.Feed == t.Feed && o.Field == t.Field {
			return true
		}
	}
	return false
}
