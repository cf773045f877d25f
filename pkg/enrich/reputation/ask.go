package reputation

import (
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// remote asks about the event's other end.
func (q *question) remote(buf []byte) {
	ip, name := spot{field: "destination.ip", talk: true}, spot{field: "destination.domain", talk: true}
	if q.event.Inbound() {
		ip.field, name.field = "source.ip", "source.domain"
	}
	for _, f := range [...]event.Field{event.RemoteAddress, event.RemoteHost} {
		text, ok := q.value(f, buf)
		if !ok {
			continue
		}
		if addr, isAddress := parseAddr(text); isAddress {
			q.address(ip, text, addr, q.port(event.RemotePort))
		} else {
			q.domain(name, text, q.port(event.RemotePort))
		}
	}
}

// origin asks about the end that began what a sensor saw: it need not be one of
// our hosts.
func (q *question) origin(buf []byte) {
	if !q.event.Sensor {
		return
	}
	text, ok := q.value(event.LocalAddress, buf)
	if !ok {
		return
	}
	if addr, isAddress := parseAddr(text); isAddress {
		began := enrich.Inbound
		if q.event.Direction() == enrich.Failed {
			began = enrich.Failed
		}
		q.address(spot{field: "source.ip", began: began}, text, addr, q.port(event.LocalPort))
	}
}

// call asks where an API call came from. One that failed is told as such; of others the
// caller had what it takes, whoever began.
func (q *question) call(buf []byte) {
	c := q.event.Call
	if c == nil {
		return
	}
	text := append(buf, c.Source...)
	addr, ok := parseAddr(text)
	if !ok {
		return
	}
	s := spot{field: "source.ip"}
	if c.Failed {
		s.began = enrich.Failed
	}
	q.address(s, text, addr, 0)
}

func (q *question) port(f event.Field) uint16 {
	if n, ok := q.event.Int(f); ok && n > 0 && n < 1<<16 {
		return uint16(n)
	}
	return 0
}

// names asks about names that were looked up, their answers, names that a client
// asked a server for, and URLs.
func (q *question) names(buf []byte) {
	if text, ok := q.value(event.Domain, buf); ok {
		q.domain(spot{field: "dns.question.name", talk: true}, text, 0)
	}
	q.answers(buf)
	if text, ok := q.value(event.SNI, buf); ok {
		q.host(spot{field: "tls.client.server_name", talk: true}, text)
	}
	domain := spot{field: "url.domain", talk: true}
	if text, ok := q.value(event.HTTPHost, buf); ok {
		q.host(domain, text)
	}
	if text, ok := q.value(event.URL, buf); ok {
		q.url(spot{field: "url.full", talk: true}, domain, text)
	}
}

// answers asks about what a name resolved to, and the names on the way.
func (q *question) answers(buf []byte) {
	answer, ok := q.event.Field(event.Answer)
	if !ok || answer.Empty() {
		return
	}
	data := spot{field: "dns.answers.data", talk: true}
	if answer.Raw[0] != '[' {
		text, _ := q.value(event.Answer, buf)
		q.words(data, text)
		return
	}
	ttl, _ := q.event.Field(event.AnswerTTL)
	for _, record := range event.Answers(answer, ttl) {
		if record.Name != "" && record.Name != q.event.Text(event.Domain) {
			q.domain(spot{field: "dns.answers.name", talk: true}, []byte(record.Name), 0)
		}
		q.words(data, []byte(record.Data))
	}
}

// joined asks about the names that joins found for the other end.
func (q *question) joined(buf []byte) {
	for i := range q.event.Names {
		n := &q.event.Names[i]
		s := spot{field: "destination.domain", talk: true}
		if n.Status != enrich.Attributed {
			s.seenIn = enrich.SeenInCandidateName
			s.field = "dns.candidates.name"
		}
		q.domain(s, append(buf, n.Name...), q.port(event.RemotePort))
	}
}

// fingerprints asks about how the two ends of an encrypted conversation look.
func (q *question) fingerprints(buf []byte) {
	for _, p := range [...]struct {
		field event.Field
		kind  feed.Kind
		ecs   string
	}{
		{event.JA3, feed.JA3, "tls.client.ja3"}, {event.JA3S, feed.JA3S, "tls.server.ja3s"}, {event.JA4, feed.JA4, "tls.client.ja4"},
		{event.JARM, feed.JARM, "tls.server.jarm"},
		{event.CertificateSHA1, feed.Cert, "tls.server.hash.sha1"},
	} {
		if text, ok := q.value(p.field, buf); ok {
			q.asked = true
			q.keep(spot{field: p.ecs, talk: true}, text, q.index.fingerprint(q.event.Threats, p.kind, text, q.event.Time, q.seen))
		}
	}
}

func (q *question) hashes(buf []byte) {
	for _, h := range [...]struct {
		field event.Field
		ecs   string
	}{{event.MD5, "file.hash.md5"}, {event.SHA1, "file.hash.sha1"}, {event.SHA256, "file.hash.sha256"}} {
		if text, ok := q.value(h.field, buf); ok {
			q.asked = true
			q.keep(spot{field: h.ecs}, text, q.index.hash(q.event.Threats, text, q.event.Time, q.seen))
		}
	}
}

// paths asks about the program and the files, where a feed names any.
func (q *question) paths(buf []byte) {
	if !q.index.paths() && q.seen == nil {
		return
	}
	for _, p := range [...]struct {
		field event.Field
		ecs   string
	}{
		{event.Path, "process.executable"}, {event.TargetPath, "file.path"}, {event.RenamedFrom, "file.path"}, {event.RenamedTo, "file.path"},
	} {
		if text, ok := q.value(p.field, buf); ok {
			q.asked = true
			q.keep(spot{field: p.ecs}, text, q.index.file(q.event.Threats, text, q.event.Time, q.seen))
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
		q.keep(spot{field: "osquery.columns." + name}, text, q.index.value(q.event.Threats, name, text, q.event.Time, q.seen))
	}
}
