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

// Lookup asks the Index in use about the addresses, names, URLs and hashes of an
// event, those in its command line included. It implements enrich.Enricher.
type Lookup struct {
	store *Store
}

// New returns a Lookup that asks store's Index of the moment.
func New(store *Store) *Lookup { return &Lookup{store} }

// Name is "reputation".
func (l *Lookup) Name() string { return "reputation" }

// Enrich adds a Threat for each indicator that a field of the event meets. An
// event that was asked about while a configured feed has never been loaded gets
// the gap feed_unavailable. The error is always nil.
func (l *Lookup) Enrich(_ context.Context, e *enrich.Event) error {
	q := question{index: l.store.Current(), event: e}
	var buf [1024]byte
	q.remote(buf[:0])
	q.names(buf[:0])
	q.hashes(buf[:0])
	q.paths(buf[:0])
	q.columns(buf[:0])
	if value, ok := q.value(event.CommandLine, buf[:0]); ok {
		q.words("process.command_line", value)
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

// remote asks about the event's other end.
func (q *question) remote(buf []byte) {
	field, domainField := "destination.ip", "destination.domain"
	if q.event.Inbound() {
		field, domainField = "source.ip", "source.domain"
	}
	var port uint16
	if n, ok := q.event.Int(event.RemotePort); ok && n > 0 && n < 1<<16 {
		port = uint16(n)
	}
	for _, f := range [...]event.Field{event.RemoteAddress, event.RemoteHost} {
		text, ok := q.value(f, buf)
		if !ok {
			continue
		}
		if addr, isAddress := parseAddr(text); isAddress {
			q.address(field, text, addr, port)
		} else {
			q.domain(domainField, text)
		}
	}
}

// names asks about names that were looked up, their answers, and URLs.
func (q *question) names(buf []byte) {
	if text, ok := q.value(event.Domain, buf); ok {
		q.domain("dns.question.name", text)
	}
	if text, ok := q.value(event.Answer, buf); ok {
		q.words("dns.answers.data", text)
	}
	if text, ok := q.value(event.URL, buf); ok {
		q.url("url.full", "url.domain", text)
	}
}

func (q *question) hashes(buf []byte) {
	for _, h := range [...]struct {
		field event.Field
		ecs   string
	}{{event.MD5, "file.hash.md5"}, {event.SHA1, "file.hash.sha1"}, {event.SHA256, "file.hash.sha256"}} {
		if text, ok := q.value(h.field, buf); ok {
			q.asked = true
			q.keep(h.ecs, text, q.index.Hash(q.event.Threats, text, q.event.Time))
		}
	}
}

// paths asks about the program and the file, where a feed names any.
func (q *question) paths(buf []byte) {
	if !q.index.paths() {
		return
	}
	for _, p := range [...]struct {
		field event.Field
		ecs   string
	}{{event.Path, "process.executable"}, {event.TargetPath, "file.path"}} {
		if text, ok := q.value(p.field, buf); ok {
			q.asked = true
			q.keep(p.ecs, text, q.index.Path(q.event.Threats, text, q.event.Time))
		}
	}
}

// columns asks about the columns that feeds of plain values name.
func (q *question) columns(buf []byte) {
	for _, name := range q.index.columns {
		v, ok := q.event.Column(name)
		if !ok || v.Empty() {
			continue
		}
		text := v.Raw
		if v.Escaped {
			text = v.AppendText(buf)
		}
		q.asked = true
		q.keep("osquery.columns."+name, text, q.index.Value(q.event.Threats, name, text, q.event.Time))
	}
}

// words asks about whatever in text looks like a host or a URL.
func (q *question) words(field string, text []byte) {
	for c, w, ok := (words{line: text}).next(); ok; c, w, ok = w.next() {
		if c.isURL {
			q.url(field, field, c.text)
		} else if addr, isAddress := parseAddr(c.text); isAddress {
			q.address(field, c.text, addr, c.port)
		} else {
			q.domain(field, c.text)
		}
	}
}

// url asks about a URL and its host.
func (q *question) url(field, hostField string, text []byte) {
	var buf [512]byte
	l, ok := parseURL(buf[:0], text)
	if !ok {
		return
	}
	q.asked = true
	q.keep(field, text, q.index.URL(q.event.Threats, text, q.event.Time))
	if l.addr.IsValid() {
		q.address(hostField, l.host, l.addr, l.port)
	} else {
		q.domain(hostField, l.host)
	}
}

func (q *question) address(field string, text []byte, addr netip.Addr, port uint16) {
	q.asked = true
	q.keep(field, text, q.index.Address(q.event.Threats, addr, port, q.event.Time))
}

func (q *question) domain(field string, text []byte) {
	q.asked = q.asked || bytes.IndexByte(text, '.') > 0
	q.keep(field, text, q.index.Domain(q.event.Threats, text, q.event.Time))
}

// keep takes the threats that were appended to the event's, without those that
// it has already, and fills in where they were met.
func (q *question) keep(field string, atomic []byte, found []enrich.Threat) {
	e := q.event
	for i := len(e.Threats); i < len(found); i++ {
		t := found[i]
		t.Field, t.Atomic = field, string(atomic)
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
