package event

import "strings"

// Names of members are those of Zeek's log reference, Suricata's eve format and
// AWS's description of Resolver query logs.

// sensorLenses are the lenses by the record's name. Of one record's shapes the
// first counts whose members are there.
func sensorLenses() map[string][]*Lens {
	all := map[string][]*Lens{"route53.resolver": {resolverLens()}}
	for _, lens := range zeekLenses() {
		all[lens.Table] = append(all[lens.Table], lens, underscored(lens))
	}
	for record, shapes := range suricataLenses() {
		all[record] = shapes
	}
	return all
}

func zeekLenses() []*Lens {
	zeek := func(log string, kind Kind, columns map[Field]string) *Lens {
		return table("zeek."+log, kind, "ts", "id.orig_h", "id.resp_h").with(map[Field]string{
			LocalAddress: "id.orig_h", LocalPort: "id.orig_p", RemoteAddress: "id.resp_h", RemotePort: "id.resp_p",
			ConnectionUID: "uid", SensorName: "_system_name", Time: "ts",
		}).timed(timeColumn{"ts", RFC3339}).with(columns)
	}
	return []*Lens{
		zeek("conn", Socket, map[Field]string{Protocol: "proto", Outcome: "conn_state"}),
		zeek("dns", DNS, map[Field]string{
			Protocol: "proto", Domain: "query", QueryType: "qtype_name", Answer: "answers", AnswerTTL: "TTLs", Outcome: "rcode_name",
		}),
		zeek("ssl", TLS, map[Field]string{
			SNI: "server_name", JA3: "ja3", JA3S: "ja3s", JA4: "ja4", JA4S: "ja4s", JARM: "jarm", CertificateSHA1: "resp_certificate_sha1", Outcome: "established",
		}),
		zeek("http", HTTP, map[Field]string{
			HTTPHost: "host", RequestPath: "uri", HTTPMethod: "method", HTTPStatus: "status_code", UserAgent: "user_agent",
		}),
	}
}

// underscored is the lens for the same log as Logstash leaves it, which takes a
// dot in a name for a step into an object.
func underscored(l *Lens) *Lens {
	u := *l
	for f, name := range l.columns {
		u.columns[f] = strings.ReplaceAll(name, ".", "_")
	}
	u.columns[SensorName] = "@system"
	u.named = []string{"ts", "id_orig_h", "id_resp_h"}
	return &u
}

func suricataLenses() map[string][]*Lens {
	// Version 3 of its DNS records has a list of questions, version 1 a record for each answer.
	lists := map[Field]string{Answer: "dns.answers"}
	v3 := map[Field]string{Domain: "dns.queries[0].rrname", QueryType: "dns.queries[0].rrtype"}
	v1 := map[Field]string{Answer: "dns.rdata", AnswerTTL: "dns.ttl"}
	dns := func(named string, more map[Field]string) *Lens {
		return suricata("dns", DNS, named).
			with(map[Field]string{Domain: "dns.rrname", QueryType: "dns.rrtype", Outcome: "dns.rcode"}).with(lists).with(more)
	}
	shapes := []*Lens{dns("dns.queries[0].rrname", v3), dns("dns.rdata", v1), dns("dns.rrname", nil)}
	replies := make([]*Lens, len(shapes))
	for i, shape := range shapes {
		replies[i] = turned(shape)
	}
	return map[string][]*Lens{
		"suricata.dns": shapes, "suricata.dns.reply": replies,
		"suricata.flow": {suricata("flow", Socket, "flow.start").with(map[Field]string{Outcome: "flow.state"}).first(timeColumn{"flow.start", RFC3339})},
		"suricata.tls": {suricata("tls", TLS).with(map[Field]string{
			SNI: "tls.sni", JA3: "tls.ja3.hash", JA3S: "tls.ja3s.hash", JA4: "tls.ja4", CertificateSHA1: "tls.fingerprint",
		})},
		"suricata.http": {suricata("http", HTTP).with(map[Field]string{
			HTTPHost: "http.hostname", RequestPath: "http.url", HTTPMethod: "http.http_method", HTTPStatus: "http.status",
			UserAgent: "http.http_user_agent",
		})},
	}
}

func suricata(record string, kind Kind, named ...string) *Lens {
	return table("suricata."+record, kind, append(named, "src_ip", "dest_ip")...).with(map[Field]string{
		LocalAddress: "src_ip", LocalPort: "src_port", RemoteAddress: "dest_ip", RemotePort: "dest_port", Protocol: "proto",
		ConnectionUID: "flow_id", SensorName: "host",
	}).timed(timeColumn{"timestamp", RFC3339})
}

// first puts a time column before the others.
func (l *Lens) first(c timeColumn) *Lens {
	l.times = append([]timeColumn{c}, l.times...)
	l.columns[Time] = c.name
	return l
}

// turned is the lens for the same record with its ends the other way round.
func turned(l *Lens) *Lens {
	t := *l
	t.columns[LocalAddress], t.columns[RemoteAddress] = l.columns[RemoteAddress], l.columns[LocalAddress]
	t.columns[LocalPort], t.columns[RemotePort] = l.columns[RemotePort], l.columns[LocalPort]
	return &t
}

func resolverLens() *Lens {
	return table("route53.resolver", DNS, "query_name", "query_timestamp").with(map[Field]string{
		LocalAddress: "srcaddr", LocalPort: "srcport", Protocol: "transport", Domain: "query_name", QueryType: "query_type",
		Answer: "answers", Outcome: "rcode", Verb: "firewall_rule_action", InstanceID: "srcids.instance", AccountID: "account_id",
		Region: "region",
	}).timed(timeColumn{"query_timestamp", RFC3339})
}
