package enrich

import (
	"hash/maphash"
	"math/bits"
	"time"

	"github.com/stackjoin/stackjoin/internal/members"
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
	w := writer{Writer: members.Writer{B: dst, Limit: sh.text}, pieces: e.pieces}
	w.Open('{')
	w.Text("schema", SchemaEnriched)
	w.Time("@timestamp", e.Time)
	w.Text("time_source", string(e.TimeSource))
	w.eventObject(e, ingested)
	joined[0].from = len(w.B)
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
	joined[0].to = len(w.B)
	w.threats(e, sh.threats)
	w.related(e)
	w.cloud(e)
	joined[1].from = len(w.B)
	w.gaps(e)
	w.evidence(e, sh.evidence)
	joined[1].to = len(w.B)
	w.Mark("truncated", w.Cut)
	w.Close('}')
	return w.B, joined
}

func (w *writer) eventObject(e *Event, ingested time.Time) {
	w.object("event")
	w.Text("id", e.ID)
	w.Number("revision", int64(e.Revision))
	w.Text("kind", ecsKind(e))
	w.Texts("category", ecsCategory(e.Kind)...)
	w.Texts("type", ecsType(e)...)
	w.Text("action", firstText(e.Text(event.Verb), e.Text(event.Syscall)))
	w.Text("dataset", dataset(e))
	w.Time("ingested", ingested)
	w.Truth("final", len(e.Gaps) == 0)
	w.Close('}')
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
	w.Text("id", string(e.Host))
	w.Text("name", name)
	w.Close('}')
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
	w.processMembers(p, w.Limit)
	w.Text("working_directory", p.WorkingDirectory)
	w.previous(p.Previous)
	if len(p.Ancestors) > 0 {
		w.object("parent")
		w.processMembers(&p.Ancestors[0], w.Limit)
		w.Close('}')
		w.ancestry(p.Ancestors, ancestors)
	}
	w.Close('}')
}

func (w *writer) ancestry(all []Process, n int) {
	shown := all[:min(n, len(all))]
	w.Cut = w.Cut || len(shown) < len(all)
	w.array("ancestors")
	for i := range shown {
		w.Comma()
		w.Open('{')
		w.processMembers(&shown[i], maxAncestor/2)
		w.Close('}')
	}
	w.Close(']')
}

// processMembers writes a process with texts of at most limit bytes each. It is the
// first in its object.
func (w *writer) processMembers(p *Process, limit int) {
	if w.pieces == nil || p.EntityID == "" {
		w.describe(p, limit)
		return
	}
	if known := w.pieces.find(p, limit); known != nil {
		w.Members(known.json)
		w.Cut = w.Cut || known.cut
		return
	}
	start, cut := len(w.B), w.Cut
	w.Cut = false
	w.describe(p, limit)
	w.pieces.add(p, limit, w.B[start:], w.Cut)
	w.Cut = w.Cut || cut
}

func (w *writer) describe(p *Process, limit int) {
	w.Text("entity_id", p.EntityID)
	w.Number("pid", p.PID)
	w.Text("name", w.Clip(baseName(p.Executable), limit))
	w.Text("executable", w.Clip(p.Executable, limit))
	w.Text("command_line", w.Clip(p.CommandLine, limit))
	w.Time("start", p.Start)
	w.person("user", p.UserID, p.UserName)
	w.Mark("inferred", p.Inferred)
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
	w.Number("pid", pid)
	w.Text("name", baseName(path))
	w.Text("executable", path)
	w.Text("command_line", e.Text(event.CommandLine))
	if parent, ok := e.Int(event.ParentPID); ok && parent > 0 {
		w.object("parent")
		w.Number("pid", parent)
		w.Close('}')
	}
	w.Close('}')
}

func (w *writer) file(e *Event) {
	path := e.Text(event.TargetPath)
	md5, sha1, sha256 := e.Text(event.MD5), e.Text(event.SHA1), e.Text(event.SHA256)
	if path == "" && md5 == "" && sha1 == "" && sha256 == "" {
		return
	}
	w.object("file")
	w.Text("path", path)
	w.Text("name", baseName(path))
	if md5 != "" || sha1 != "" || sha256 != "" {
		w.object("hash")
		w.Text("md5", md5)
		w.Text("sha1", sha1)
		w.Text("sha256", sha256)
		w.Close('}')
	}
	w.Close('}')
}

func (w *writer) gaps(e *Event) {
	if len(e.Gaps) == 0 {
		return
	}
	w.array("gaps")
	for _, g := range e.Gaps {
		w.Comma()
		w.Open('{')
		w.Text("question", g.Question)
		w.Text("reason", g.Reason)
		w.Close('}')
	}
	w.Close(']')
}

// evidence tells which rows made the record, where they were read and how late: from
// the event to the append where there was one. The event's own row is the first.
func (w *writer) evidence(e *Event, most int) {
	shown := e.Evidence[:min(len(e.Evidence), most)]
	w.Cut = w.Cut || len(shown) < len(e.Evidence)
	w.array("evidence")
	w.proof(&Evidence{Position: e.Position, Lateness: e.Lateness()})
	for i := range shown {
		w.proof(&shown[i])
	}
	w.Close(']')
}

func (w *writer) proof(p *Evidence) {
	w.Comma()
	w.Open('{')
	w.Text("for", p.For)
	w.Text("id", p.ID)
	w.place(p.Position)
	if p.Lateness != 0 {
		w.Number("lateness_ms", p.Lateness.Milliseconds())
	}
	w.Close('}')
}

func (w *writer) place(p Position) {
	if p.File != "" {
		w.Text("file", p.File)
		w.Number("line", p.Line)
		return
	}
	w.Text("topic", p.Topic)
	w.Number("partition", int64(p.Partition))
	w.Number("offset", p.Offset)
}
