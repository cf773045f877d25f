package cloudtrail

import (
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// The members of an enrichment have the names of the Elastic Common Schema 9.4, but
// for those that the schema names as our own.

// append appends the enrichment as one JSON object, within the limits of sh.
func (a *answer) append(dst []byte, ingested time.Time, sh shapeLimit) []byte {
	w := &writer{b: dst, limit: sh.text}
	r := a.record
	w.open('{')
	w.text("schema", SchemaEnriched)
	w.time("@timestamp", r.Time)
	w.text("time_source", string(r.TimeSource))
	w.object("event", func() { a.event(w, ingested) })
	w.object("cloud", func() { a.cloud(w) })
	w.object("user", func() { a.user(w) })
	w.object("source", func() {
		w.text("address", r.Source.Text)
		w.text("ip", addressOf(r.Source))
		a.locationOf(w)
	})
	a.call(w)
	a.threatsOf(w, sh.matches)
	w.object("related", func() { a.related(w) })
	w.object("aws", func() { a.aws(w) })
	w.list("gaps", len(a.gaps), func(i int) {
		w.text("question", a.gaps[i].Question)
		w.text("reason", a.gaps[i].Reason)
	})
	w.list("evidence", 1, func(int) { a.evidence(w) })
	if w.cut {
		w.boolean("truncated", true)
	}
	w.close('}')
	return w.b
}

func (a *answer) event(w *writer, ingested time.Time) {
	r := a.record
	w.text("id", a.id)
	w.number("revision", 0)
	w.text("kind", "event")
	w.texts("category", "api", categoryOf(r))
	w.texts("type", typeOf(r))
	w.text("outcome", outcomeOf(r))
	w.text("provider", r.Service)
	w.text("action", r.Name)
	w.text("dataset", "aws.cloudtrail")
	w.time("ingested", ingested)
	w.boolean("final", len(a.gaps) == 0)
}

func outcomeOf(r *Record) string {
	if r.Failed() {
		return "failure"
	}
	return "success"
}

// categoryOf is what a call is about, beside being one; empty for most.
func categoryOf(r *Record) string {
	service, _, _ := strings.Cut(r.Service, ".")
	switch service {
	case "signin", "sts":
		return "authentication"
	case "iam", "sso", "identitystore":
		return "iam"
	case "ec2", "autoscaling", "ssm", "ec2-instance-connect":
		return "host"
	case "s3":
		return "file"
	}
	return ""
}

// typeOf names what a call does by the verb that AWS's names begin with.
func typeOf(r *Record) string {
	switch {
	case r.Name == "ConsoleLogin":
		return "start"
	case strings.Contains(r.ErrorCode, "AccessDenied"), strings.Contains(r.ErrorCode, "Unauthorized"):
		return "denied"
	case r.ReadOnly == True:
		return "access"
	}
	for _, v := range [...]struct{ verb, word string }{
		{"Create", "creation"}, {"Run", "creation"}, {"Delete", "deletion"}, {"Terminate", "deletion"}, {"Put", "change"}, {"Update", "change"},
		{"Modify", "change"}, {"Attach", "change"}, {"Detach", "change"}, {"Associate", "change"}, {"Get", "access"}, {"List", "access"}, {"Describe", "access"},
	} {
		if strings.HasPrefix(r.Name, v.verb) {
			return v.word
		}
	}
	return "info"
}

func (a *answer) cloud(w *writer) {
	r := a.record
	w.text("provider", "aws")
	w.object("account", func() { w.text("id", r.Account()) })
	w.text("region", r.Region)
	if a.host.ID == "" || a.host.Proof == ProofSessionName {
		return
	}
	if l := a.host.Launch; l != nil && l.Launch != nil {
		w.text("availability_zone", l.Launch.Zone)
	}
	w.object("instance", func() { w.text("id", a.host.ID) })
}

func (a *answer) user(w *writer) {
	id := &a.record.Identity
	w.text("id", id.PrincipalID)
	w.text("name", id.Name())
	if id.Issuer.Type == "Role" {
		w.texts("roles", id.Issuer.UserName)
	}
}

// call writes how the call was made and answered.
func (a *answer) call(w *writer) {
	r := a.record
	w.object("user_agent", func() { w.text("original", r.UserAgent) })
	w.object("error", func() {
		w.text("code", r.ErrorCode)
		w.text("message", r.ErrorMessage)
	})
	w.object("tls", func() {
		w.text("version", strings.TrimPrefix(r.TLS.Version, "TLSv"))
		w.text("cipher", r.TLS.Cipher)
	})
	w.object("destination", func() { w.text("domain", r.TLS.Host) })
}

func addressOf(s Source) string {
	if s.Kind != SourceAddress {
		return ""
	}
	return s.Addr.String()
}

// locationOf writes where the call came from.
func (a *answer) locationOf(w *writer) {
	w.object("geo", func() { w.text("country_iso_code", a.location.Country) })
	w.object("as", func() {
		w.count("number", int64(a.location.ASN))
		w.object("organization", func() { w.text("name", a.location.Organization) })
	})
}

func (a *answer) related(w *writer) {
	id := &a.record.Identity
	w.texts("ip", addressOf(a.record.Source))
	w.texts("user", id.Name(), id.Issuer.UserName, a.chain.Root.Name)
	if a.host.Proof != ProofSessionName {
		w.texts("hosts", a.host.ID)
	}
}

func (a *answer) evidence(w *writer) {
	p := &a.at
	if p.File != "" {
		w.text("file", p.File)
		w.count("line", p.Line)
	} else {
		w.text("topic", p.Topic)
		w.number("partition", int64(p.Partition))
		w.number("offset", p.Offset)
	}
	w.count("record", p.Number)
	if !p.Appended.IsZero() && !a.record.Time.IsZero() {
		w.number("lateness_ms", p.Appended.Sub(a.record.Time).Milliseconds())
	}
}

// threatsOf writes the first n matches, as those of osquery's rows are written.
func (a *answer) threatsOf(w *writer, n int) {
	shown := a.threats[:min(n, len(a.threats))]
	w.cut = w.cut || len(shown) < len(a.threats)
	if len(shown) == 0 {
		return
	}
	w.object("threat", func() {
		w.key("enrichments")
		w.open('[')
		for i := range shown {
			w.comma()
			w.b = enrich.AppendThreat(w.b, &shown[i])
		}
		w.close(']')
	})
}
