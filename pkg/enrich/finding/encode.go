package finding

import (
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Bounds of lists in one record.
const (
	maxEvidence    = 32
	maxExecutables = 32
)

// Append appends the finding as one JSON object, in names of the Elastic Common
// Schema where it has them.
func (f *Finding) Append(dst []byte, ingested time.Time) []byte {
	w := object{b: dst}
	w.open()
	w.text("schema", Schema)
	w.time("@timestamp", f.LastSeen)
	f.event(&w, ingested)
	w.text("message", f.Reason)
	w.member("rule", func() {
		w.text("id", f.Rule)
		w.text("name", f.Title)
	})
	w.member("finding", func() { f.own(&w) })
	f.host(&w)
	f.threat(&w)
	f.process(&w)
	if len(f.Session) > 0 {
		w.key("session")
		w.b = append(w.b, f.Session...)
	}
	w.json("cloud", f.Cloud)
	w.json("aws", f.AWS)
	if f.Loss != nil {
		w.member("loss", func() { f.Loss.members(&w) })
	}
	f.evidence(&w)
	w.close()
	return w.b
}

func (f *Finding) event(w *object, ingested time.Time) {
	w.member("event", func() {
		w.text("id", f.ID)
		w.number("revision", f.Revision)
		w.text("kind", "alert")
		w.texts("category", []string{f.category()}, 1)
		w.texts("type", []string{"info"}, 1)
		w.number("severity", f.Severity.number())
		w.time("start", f.FirstSeen)
		w.time("end", f.LastSeen)
		w.time("ingested", ingested)
	})
}

func (f *Finding) category() string {
	if f.Threat != nil || len(f.Copies.Threats) > 0 {
		return "threat"
	}
	return "host"
}

func (f *Finding) own(w *object) {
	w.text("status", string(f.Status))
	w.text("severity", string(f.Severity))
	w.number("confidence", int64(f.Confidence))
	w.number("count", f.Count)
	w.truth("retro", f.Retro)
	w.texts("executables", f.Executables, maxExecutables)
	w.texts("agents", f.Agents, maxEvidence)
	w.truth("no_sensor", f.NoSensor)
}

func (f *Finding) host(w *object) {
	if f.Host == "" && f.HostName == "" {
		return
	}
	w.member("host", func() {
		w.text("id", string(f.Host))
		w.text("name", f.HostName)
	})
}

func (f *Finding) process(w *object) {
	switch {
	case f.Process != nil:
		w.key("process")
		w.b = enrich.AppendProcess(w.b, f.Process)
	case len(f.Copies.Process) > 0:
		w.key("process")
		w.b = append(w.b, f.Copies.Process...)
	}
}

func (f *Finding) threat(w *object) {
	if f.Threat == nil && len(f.Copies.Threats) == 0 && len(f.Techniques) == 0 {
		return
	}
	w.member("threat", func() {
		if len(f.Techniques) > 0 {
			w.member("technique", func() { w.texts("id", f.Techniques, maxEvidence) })
		}
		switch {
		case f.Threat != nil:
			w.key("enrichments")
			w.b = append(enrich.AppendThreat(append(w.b, '['), f.Threat), ']')
		case len(f.Copies.Threats) > 0:
			w.key("enrichments")
			w.b = append(append(append(w.b, '['), f.Copies.Threats...), ']')
		}
	})
}

func (l *Loss) members(w *object) {
	w.text("agent", l.Agent)
	w.text("run", l.Run)
	w.text("topic", l.Topic)
	w.text("word", l.Word)
	w.text("policy", l.Policy)
	w.count("from", l.From)
	w.count("to", l.To)
	w.count("calls", l.Calls)
	w.truth("at_least", l.AtLeast)
	w.text("rows", l.Rows)
	w.count("row_count", l.RowCount)
	w.count("bytes", uint64(max(0, l.Bytes)))
	w.truth("possible", l.Possible)
	w.time("since", l.Since)
	w.time("until", l.Until)
}

func (f *Finding) evidence(w *object) {
	w.key("evidence")
	w.b = append(w.b, '[')
	for i := range f.Evidence[:min(len(f.Evidence), maxEvidence)] {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.open()
		e := &f.Evidence[i]
		w.text("id", e.ID)
		place(w, e.Position)
		w.close()
	}
	w.b = append(w.b, ']')
}

func place(w *object, p enrich.Position) {
	switch {
	case p.File != "":
		w.text("file", p.File)
		w.number("line", p.Line)
	case p.Topic != "":
		w.text("topic", p.Topic)
		w.number("partition", int64(p.Partition))
		w.number("offset", p.Offset)
	}
}

// object appends JSON members, keeps the commas right and leaves out what is empty.
type object struct {
	b     []byte
	fresh bool
}

func (w *object) open()  { w.b, w.fresh = append(w.b, '{'), true }
func (w *object) close() { w.b, w.fresh = append(w.b, '}'), false }

func (w *object) key(name string) {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *object) member(name string, members func()) {
	w.key(name)
	w.open()
	members()
	w.close()
}

func (w *object) text(name, value string) {
	if value != "" {
		w.key(name)
		w.b = event.AppendString(w.b, value)
	}
}

func (w *object) texts(name string, values []string, most int) {
	if len(values) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i, v := range values[:min(len(values), most)] {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = event.AppendString(w.b, v)
	}
	w.b = append(w.b, ']')
}

func (w *object) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// count writes a number that says nothing when it is 0.
func (w *object) count(name string, n uint64) {
	if n > 0 {
		w.key(name)
		w.b = strconv.AppendUint(w.b, n, 10)
	}
}

// json writes a value that is JSON already, nothing for none.
func (w *object) json(name string, value []byte) {
	if len(value) > 0 {
		w.key(name)
		w.b = append(w.b, value...)
	}
}

func (w *object) truth(name string, v bool) {
	if v {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *object) time(name string, t time.Time) {
	if !t.IsZero() {
		w.key(name)
		w.b = append(event.AppendTime(append(w.b, '"'), t), '"')
	}
}
