package finding

import (
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/internal/members"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Bounds of lists in one record.
const (
	maxEvidence    = 32
	maxExecutables = 32
)

// Append appends the finding as one JSON object, in names of the Elastic Common
// Schema where it has them.
func (f *Finding) Append(dst []byte, ingested time.Time) []byte {
	w := members.Writer{B: dst}
	w.Open('{')
	w.Text("schema", Schema)
	w.Time("@timestamp", f.LastSeen)
	f.event(&w, ingested)
	w.Text("message", f.Reason)
	w.Object("rule", func() {
		w.Text("id", f.Rule)
		w.Text("name", f.Title)
	})
	w.Object("finding", func() { f.own(&w) })
	f.host(&w)
	f.threat(&w)
	f.process(&w)
	w.Raw("session", f.Session)
	w.Raw("cloud", f.Cloud)
	w.Raw("aws", f.AWS)
	if f.Loss != nil {
		w.Object("loss", func() { f.Loss.members(&w) })
	}
	f.evidence(&w)
	w.Close('}')
	return w.B
}

func (f *Finding) event(w *members.Writer, ingested time.Time) {
	w.Object("event", func() {
		w.Text("id", f.ID)
		w.Number("revision", f.Revision)
		w.Text("kind", "alert")
		w.Texts("category", f.category())
		w.Texts("type", "info")
		w.Number("severity", f.Severity.number())
		w.Time("start", f.FirstSeen)
		w.Time("end", f.LastSeen)
		w.Time("ingested", ingested)
	})
}

func (f *Finding) category() string {
	if f.Threat != nil || len(f.Copies.Threats) > 0 {
		return "threat"
	}
	return "host"
}

func (f *Finding) own(w *members.Writer) {
	w.Text("status", string(f.Status))
	w.Text("severity", string(f.Severity))
	w.Number("confidence", int64(f.Confidence))
	w.Number("count", f.Count)
	w.Mark("retro", f.Retro)
	w.Texts("executables", f.Executables[:min(len(f.Executables), maxExecutables)]...)
	w.Texts("agents", f.Agents[:min(len(f.Agents), maxEvidence)]...)
	w.Mark("no_sensor", f.NoSensor)
}

func (f *Finding) host(w *members.Writer) {
	if f.Host == "" && f.HostName == "" {
		return
	}
	w.Object("host", func() {
		w.Text("id", string(f.Host))
		w.Text("name", f.HostName)
	})
}

func (f *Finding) process(w *members.Writer) {
	if f.Process == nil {
		w.Raw("process", f.Copies.Process)
		return
	}
	w.Key("process")
	w.B = enrich.AppendProcess(w.B, f.Process)
}

func (f *Finding) threat(w *members.Writer) {
	if f.Threat == nil && len(f.Copies.Threats) == 0 && len(f.Techniques) == 0 {
		return
	}
	w.Object("threat", func() {
		if len(f.Techniques) > 0 {
			w.Object("technique", func() { w.Texts("id", f.Techniques[:min(len(f.Techniques), maxEvidence)]...) })
		}
		switch {
		case f.Threat != nil:
			w.Key("enrichments")
			w.B = append(enrich.AppendThreat(append(w.B, '['), f.Threat), ']')
		case len(f.Copies.Threats) > 0:
			w.Key("enrichments")
			w.B = append(append(append(w.B, '['), f.Copies.Threats...), ']')
		}
	})
}

func (l *Loss) members(w *members.Writer) {
	w.Text("agent", l.Agent)
	w.Text("run", l.Run)
	w.Text("topic", l.Topic)
	w.Text("word", l.Word)
	w.Text("policy", l.Policy)
	count(w, "from", l.From)
	count(w, "to", l.To)
	count(w, "calls", l.Calls)
	w.Mark("at_least", l.AtLeast)
	w.Text("rows", l.Rows)
	count(w, "row_count", l.RowCount)
	count(w, "bytes", uint64(max(0, l.Bytes)))
	w.Mark("possible", l.Possible)
	w.Time("since", l.Since)
	w.Time("until", l.Until)
}

func (f *Finding) evidence(w *members.Writer) {
	w.Key("evidence")
	w.Open('[')
	for i := range f.Evidence[:min(len(f.Evidence), maxEvidence)] {
		w.Comma()
		w.Open('{')
		e := &f.Evidence[i]
		w.Text("id", e.ID)
		place(w, e.Position)
		w.Close('}')
	}
	w.Close(']')
}

func place(w *members.Writer, p enrich.Position) {
	switch {
	case p.File != "":
		w.Text("file", p.File)
		w.Number("line", p.Line)
	case p.Topic != "":
		w.Text("topic", p.Topic)
		w.Number("partition", int64(p.Partition))
		w.Number("offset", p.Offset)
	}
}

// count writes a number that says nothing when it is 0.
func count(w *members.Writer, name string, n uint64) {
	if n > 0 {
		w.Key(name)
		w.B = strconv.AppendUint(w.B, n, 10)
	}
}
