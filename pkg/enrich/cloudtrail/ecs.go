package cloudtrail

import (
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/members"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// The members of an enrichment have the names of the Elastic Common Schema 9.4, but
// for those that the schema names as our own.

// append appends the enrichment as one JSON object, within the limits of sh.
func (a *answer) append(dst []byte, ingested time.Time, sh shapeLimit) []byte {
	w := &members.Writer{B: dst, Limit: sh.text}
	r := a.record
	w.Open('{')
	w.Text("schema", SchemaEnriched)
	w.Time("@timestamp", r.Time)
	w.Text("time_source", string(r.TimeSource))
	w.Object("event", func() { a.event(w, ingested) })
	w.Object("cloud", func() { a.cloud(w) })
	w.Object("user", func() { a.user(w) })
	w.Object("source", func() {
		w.Text("address", r.Source.Text)
		w.Text("ip", addressOf(r.Source))
		a.locationOf(w)
	})
	a.call(w)
	a.threatsOf(w, sh.matches)
	w.Object("related", func() { a.related(w) })
	w.Object("aws", func() { a.aws(w) })
	w.List("gaps", len(a.gaps), func(i int) {
		w.Text("question", a.gaps[i].Question)
		w.Text("reason", a.gaps[i].Reason)
	})
	w.List("evidence", 1, func(int) { a.evidence(w) })
	w.Mark("truncated", w.Cut)
	w.Close('}')
	return w.B
}

func (a *answer) event(w *members.Writer, ingested time.Time) {
	r := a.record
	w.Text("id", a.id)
	w.Number("revision", 0)
	w.Text("kind", "event")
	w.Texts("category", "api", categoryOf(r))
	w.Texts("type", typeOf(r))
	w.Text("outcome", outcomeOf(r))
	w.Text("provider", r.Service)
	w.Text("action", r.Name)
	w.Text("dataset", "aws.cloudtrail")
	w.Time("ingested", ingested)
	w.Truth("final", len(a.gaps) == 0)
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

func (a *answer) cloud(w *members.Writer) {
	r := a.record
	w.Text("provider", "aws")
	w.Object("account", func() { w.Text("id", r.Account()) })
	w.Text("region", r.Region)
	if a.host.ID == "" || a.host.Proof == ProofSessionName {
		return
	}
	if l := a.host.Launch; l != nil && l.Launch != nil {
		w.Text("availability_zone", l.Launch.Zone)
	}
	w.Object("instance", func() { w.Text("id", a.host.ID) })
}

func (a *answer) user(w *members.Writer) {
	id := &a.record.Identity
	w.Text("id", id.PrincipalID)
	w.Text("name", id.Name())
	if id.Issuer.Type == "Role" {
		w.Texts("roles", id.Issuer.UserName)
	}
}

// call writes how the call was made and answered.
func (a *answer) call(w *members.Writer) {
	r := a.record
	w.Object("user_agent", func() { w.Text("original", r.UserAgent) })
	w.Object("error", func() {
		w.Text("code", r.ErrorCode)
		w.Text("message", r.ErrorMessage)
	})
	w.Object("tls", func() {
		w.Text("version", strings.TrimPrefix(r.TLS.Version, "TLSv"))
		w.Text("cipher", r.TLS.Cipher)
	})
	w.Object("destination", func() { w.Text("domain", r.TLS.Host) })
}

func addressOf(s Source) string {
	if s.Kind != SourceAddress {
		return ""
	}
	return s.Addr.String()
}

// locationOf writes where the call came from.
func (a *answer) locationOf(w *members.Writer) {
	w.Object("geo", func() { w.Text("country_iso_code", a.location.Country) })
	w.Object("as", func() {
		w.Count("number", int64(a.location.ASN))
		w.Object("organization", func() { w.Text("name", a.location.Organization) })
	})
}

func (a *answer) related(w *members.Writer) {
	id := &a.record.Identity
	w.Texts("ip", addressOf(a.record.Source))
	w.Texts("user", id.Name(), id.Issuer.UserName, a.chain.Root.Name)
	if a.host.Proof != ProofSessionName {
		w.Texts("hosts", a.host.ID)
	}
}

func (a *answer) evidence(w *members.Writer) {
	p := &a.at
	if p.File != "" {
		w.Text("file", p.File)
		w.Count("line", p.Line)
	} else {
		w.Text("topic", p.Topic)
		w.Number("partition", int64(p.Partition))
		w.Number("offset", p.Offset)
	}
	w.Count("record", p.Number)
	if !p.Appended.IsZero() && !a.record.Time.IsZero() {
		w.Number("lateness_ms", p.Appended.Sub(a.record.Time).Milliseconds())
	}
}

// threatsOf writes the first n matches, as those of osquery's rows are written.
func (a *answer) threatsOf(w *members.Writer, n int) {
	shown := a.threats[:min(n, len(a.threats))]
	w.Cut = w.Cut || len(shown) < len(a.threats)
	if len(shown) == 0 {
		return
	}
	w.Object("threat", func() {
		w.Key("enrichments")
		w.Open('[')
		for i := range shown {
			w.Comma()
			w.B = enrich.AppendThreat(w.B, &shown[i])
		}
		w.Close(']')
	})
}
