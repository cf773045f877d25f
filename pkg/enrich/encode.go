package enrich

import (
	"hash/maphash"
	"math/bits"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// SchemaEnriched is the schema of the member that AppendEnriched adds.
const SchemaEnriched = "stackjoin.enriched/1"

// maxEnrichment is what an enrichment may weigh.
const maxEnrichment = 64 << 10

// maxAncestor is what the texts of one ancestor may weigh.
const maxAncestor = 256

// shape is how much an enrichment tells.
type shape struct {
	ancestors, threats int
	text               int // bytes of one text
	evidence           int // rows beside the event's own
}

// shapes are tried until the enrichment fits: the farthest ancestors go first.
// The last fits whatever the texts are.
var shapes = [...]shape{{8, 64, 8 << 10, 40}, {4, 64, 8 << 10, 32}, {1, 32, 2 << 10, 16}, {0, 8, 32, 4}} //nolint:gochecknoglobals // a constant, but for the language

// AppendEnriched appends the event's row with its enrichment as the last
// member. The row's own members are its bytes as they were.
func AppendEnriched(dst []byte, e *Event, ingested time.Time) []byte {
	dst, _ = appendEnriched(dst, e, ingested, maphash.Seed{}, false)
	return dst
}

// appendEnriched is AppendEnriched; where asked it also returns a number that
// stands for what the joins told of the event: all but when and how often it was
// told, and which feeds know of it today. It is compared within one process only.
func appendEnriched(dst []byte, e *Event, ingested time.Time, seed maphash.Seed, asked bool) (_ []byte, answer uint64) {
	dst = append(dst, e.Raw[:len(e.Raw)-1]...)
	if len(e.Raw) > 2 {
		dst = append(dst, ',')
	}
	dst = append(dst, `"enrichment":`...)
	start := len(dst)
	for _, sh := range shapes {
		var joined [2]span
		dst, joined = appendEnrichment(dst[:start], e, ingested, sh)
		if len(dst)-start <= maxEnrichment {
			if asked {
				answer = maphash.Bytes(seed, dst[joined[0].from:joined[0].to]) ^ bits.RotateLeft64(maphash.Bytes(seed, dst[joined[1].from:joined[1].to]), 1)
			}
			break
		}
	}
	return append(dst, '}'), answer
}

// span is a part of what was written.
type span struct{ from, to int }

// appendEnrichment returns with dst the parts of it that the joins answered.
func appendEnrichment(dst []byte, e *Event, ingested time.Time, sh shape) ([]byte, [2]span) {
	var joined [2]span
	w := writer{b: dst, limit: sh.text, pieces: e.pieces}
	w.open('{')
	w.text("schema", SchemaEnriched)
	w.time("@timestamp", e.Time)
	w.text("time_source", string(e.TimeSource))
	w.eventObject(e, ingested)
	joined[0].from = len(w.b)
	w.hostObject(e)
	w.link(e)
	w.process(e, sh.ancestors)
	w.container(e)
	w.session(e)
	w.user(e)
	w.network(e)
	w.names(e)
	w.web(e)
	w.tls(e)
	w.observer(e)
	w.file(e)
	joined[0].to = len(w.b)
	w.threats(e, sh.threats)
	w.related(e)
	w.cloud(e)
	joined[1].from = len(w.b)
	w.gaps(e)
	w.evidence(e, sh.evidence)
	joined[1].to = len(w.b)
	if w.cut {
		w.truth("truncated", true)
	}
	w.close('}')
	return w.b, joined
}

func (w *writer) eventObject(e *Event, ingested time.Time) {
	w.object("event")
	w.text("id", e.ID)
	w.number("revision", int64(e.Revision))
	w.text("kind", ecsKind(e))
	w.texts("category", ecsCategory(e.Kind))
	w.texts("type", ecsType(e))
	w.text("action", firstText(e.Text(event.Verb), e.Text(event.Syscall)))
	w.text("dataset", dataset(e))
	w.time("ingested", ingested)
	w.truth("final", len(e.Gaps) == 0)
	w.close('}')
}

func dataset(e *Event) string {
	if e.Sensor {
		return firstText(e.Lens.Table, e.Query.Text(), "sensor.unknown")
	}
	if e.Lens.Table != "" {
		return "osquery." + e.Lens.Table
	}
	return "osquery." + string(e.Kind)
}

func (w *writer) hostObject(e *Event) {
	name := e.HostIdentifier.Text()
	if e.Host == "" && name == "" {
		return
	}
	w.object("host")
	w.text("id", string(e.Host))
	w.text("name", name)
	w.close('}')
}

// process writes the process behind the event and its ancestors; where it is
// not known, what the row itself says of it.
func (w *writer) process(e *Event, ancestors int) {
	p := e.Process
	if p == nil {
		w.rowProcess(e)
		return
	}
	w.object("process")
	w.processMembers(p, w.limit)
	w.text("working_directory", p.WorkingDirectory)
	w.previous(p.Previous)
	if len(p.Ancestors) > 0 {
		w.object("parent")
		w.processMembers(&p.Ancestors[0], w.limit)
		w.close('}')
		w.ancestry(p.Ancestors, ancestors)
	}
	w.close('}')
}

func (w *writer) ancestry(all []Process, n int) {
	shown := all[:min(n, len(all))]
	w.cut = w.cut || len(shown) < len(all)
	w.array("ancestors")
	for i := range shown {
		w.item()
		w.open('{')
		w.processMembers(&shown[i], maxAncestor/2)
		w.close('}')
	}
	w.close(']')
}

// processMembers writes a process with texts of at most limit bytes each. It is the
// first in its object.
func (w *writer) processMembers(p *Process, limit int) {
	if w.pieces == nil || p.EntityID == "" {
		w.describe(p, limit)
		return
	}
	if known := w.pieces.find(p, limit); known != nil {
		w.b, w.fresh, w.cut = append(w.b, known.json...), false, w.cut || known.cut
		return
	}
	start, cut := len(w.b), w.cut
	w.cut = false
	w.describe(p, limit)
	w.pieces.add(p, limit, w.b[start:], w.cut)
	w.cut = w.cut || cut
}

func (w *writer) describe(p *Process, limit int) {
	w.text("entity_id", p.EntityID)
	w.number("pid", p.PID)
	w.text("name", w.clip(baseName(p.Executable), limit))
	w.text("executable", w.clip(p.Executable, limit))
	w.text("command_line", w.clip(p.CommandLine, limit))
	w.time("start", p.Start)
	w.person("user", p.UserID, p.UserName)
	if p.Inferred {
		w.truth("inferred", true)
	}
}

// rowProcess writes what the row says of its own process when no join did.
func (w *writer) rowProcess(e *Event) {
	pid, ok := e.Int(event.PID)
	path := e.Text(event.Path)
	if e.Kind == event.Socket && e.Lens.Inventory && path != "" && e.Text(event.Family) == "1" {
		path = "" // osquery puts a unix socket's own path here
	}
	if !ok || pid <= 0 {
		return
	}
	w.object("process")
	w.number("pid", pid)
	w.text("name", baseName(path))
	w.text("executable", path)
	w.text("command_line", e.Text(event.CommandLine))
	if parent, ok := e.Int(event.ParentPID); ok && parent > 0 {
		w.object("parent")
		w.number("pid", parent)
		w.close('}')
	}
	w.close('}')
}

func (w *writer) file(e *Event) {
	path := e.Text(event.TargetPath)
	md5, sha1, sha256 := e.Text(event.MD5), e.Text(event.SHA1), e.Text(event.SHA256)
	if path == "" && md5 == "" && sha1 == "" && sha256 == "" {
		return
	}
	w.object("file")
	w.text("path", path)
	w.text("name", baseName(path))
	if md5 != "" || sha1 != "" || sha256 != "" {
		w.object("hash")
		w.text("md5", md5)
		w.text("sha1", sha1)
		w.text("sha256", sha256)
		w.close('}')
	}
	w.close('}')
}

func (w *writer) gaps(e *Event) {
	if len(e.Gaps) == 0 {
		return
	}
	w.array("gaps")
	for _, g := range e.Gaps {
		w.item()
		w.open('{')
		w.text("question", g.Question)
		w.text("reason", g.Reason)
		w.close('}')
	}
	w.close(']')
}

// evidence tells which rows made the record, where they were read and how late: from
// the event to the append where there was one. The event's own row is the first.
func (w *writer) evidence(e *Event, most int) {
	shown := e.Evidence[:min(len(e.Evidence), most)]
	w.cut = w.cut || len(shown) < len(e.Evidence)
	w.array("evidence")
	w.proof(&Evidence{Position: e.Position, Lateness: e.Lateness()})
	for i := range shown {
		w.proof(&shown[i])
	}
	w.close(']')
}

func (w *writer) proof(p *Evidence) {
	w.item()
	w.open('{')
	w.text("for", p.For)
	w.text("id", p.ID)
	w.place(p.Position)
	if p.Lateness != 0 {
		w.number("lateness_ms", p.Lateness.Milliseconds())
	}
	w.close('}')
}

func (w *writer) place(p Position) {
	if p.File != "" {
		w.text("file", p.File)
		w.number("line", p.Line)
		return
	}
	w.text("topic", p.Topic)
	w.number("partition", int64(p.Partition))
	w.number("offset", p.Offset)
}
