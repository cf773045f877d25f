package enrich

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Names of the schemas of what this package writes.
const (
	SchemaEnriched   = "stackjoin.enriched/1"
	SchemaDeadLetter = "stackjoin.deadletter/1"
)

// Caps of DESIGN section 4: what an enrichment may weigh and how much of an
// ancestry it tells.
const (
	maxEnrichment = 64 << 10
	maxAncestors  = 8
	maxAncestor   = 256
)

// writer appends JSON members. It keeps the commas right and leaves out what is
// empty.
type writer struct {
	b     []byte
	fresh bool
}

func (w *writer) key(name string) {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) item() {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
}

func (w *writer) open(c byte)  { w.b, w.fresh = append(w.b, c), true }
func (w *writer) close(c byte) { w.b, w.fresh = append(w.b, c), false }

func (w *writer) object(name string) { w.key(name); w.open('{') }
func (w *writer) array(name string)  { w.key(name); w.open('[') }

func (w *writer) text(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.b = event.AppendString(w.b, value)
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) truth(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.key(name)
	w.b = append(event.AppendTime(append(w.b, '"'), t), '"')
}

// texts writes a list of distinct texts, nothing when there are none.
func (w *writer) texts(name string, values []string) {
	wrote := false
	for i, v := range values {
		if v == "" || contains(values[:i], v) {
			continue
		}
		if !wrote {
			w.array(name)
			wrote = true
		}
		w.item()
		w.b = event.AppendString(w.b, v)
	}
	if wrote {
		w.close(']')
	}
}

func contains(values []string, v string) bool {
	for _, o := range values {
		if o == v {
			return true
		}
	}
	return false
}

// AppendEnriched appends the event's row with its enrichment as the last
// member. The row's own members are its bytes as they were.
func AppendEnriched(dst []byte, e *Event, ingested time.Time) []byte {
	dst = append(dst, e.Raw[:len(e.Raw)-1]...)
	if len(e.Raw) > 2 {
		dst = append(dst, ',')
	}
	dst = append(dst, `"enrichment":`...)
	start := len(dst)
	for ancestors := maxAncestors; ; ancestors /= 2 {
		dst = appendEnrichment(dst[:start], e, ingested, ancestors)
		if len(dst)-start <= maxEnrichment || ancestors == 0 {
			return append(dst, '}')
		}
	}
}

func appendEnrichment(dst []byte, e *Event, ingested time.Time, ancestors int) []byte {
	w := writer{b: dst}
	w.open('{')
	w.text("schema", SchemaEnriched)
	w.time("@timestamp", e.Time)
	w.text("time_source", string(e.TimeSource))
	w.eventObject(e, ingested)
	w.hostObject(e)
	cut := w.process(e, ancestors)
	w.user(e)
	w.network(e)
	w.names(e)
	w.file(e)
	w.threats(e)
	w.related(e)
	w.gaps(e)
	w.evidence(e, ingested)
	if cut {
		w.truth("truncated", true)
	}
	w.close('}')
	return w.b
}

func (w *writer) eventObject(e *Event, ingested time.Time) {
	w.object("event")
	w.text("id", e.ID)
	w.number("revision", 0)
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
func (w *writer) process(e *Event, ancestors int) (cut bool) {
	p := e.Process
	if p == nil {
		return w.rowProcess(e)
	}
	w.object("process")
	cut = w.processMembers(p, math.MaxInt)
	if len(p.Ancestors) > 0 {
		w.object("parent")
		w.processMembers(&p.Ancestors[0], math.MaxInt)
		w.close('}')
		shown := p.Ancestors[:min(ancestors, len(p.Ancestors))]
		cut = cut || len(shown) < len(p.Ancestors)
		w.array("ancestors")
		for i := range shown {
			w.item()
			w.open('{')
			cut = w.processMembers(&shown[i], maxAncestor) || cut
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
	return cut
}

func (w *writer) processMembers(p *Process, budget int) (cut bool) {
	commandLine, executable := p.CommandLine, p.Executable
	if len(executable) > budget/2 {
		executable, cut = clip(executable, budget/2), true
	}
	if len(commandLine) > budget/2 {
		commandLine, cut = clip(commandLine, budget/2), true
	}
	w.text("entity_id", p.EntityID)
	w.number("pid", p.PID)
	w.text("name", baseName(p.Executable))
	w.text("executable", executable)
	w.text("command_line", commandLine)
	if budget == math.MaxInt {
		w.text("working_directory", p.WorkingDirectory)
	}
	w.time("start", p.Start)
	if p.UserID != "" {
		w.object("user")
		w.text("id", p.UserID)
		w.close('}')
	}
	if p.Inferred {
		w.truth("inferred", true)
	}
	return cut
}

// rowProcess writes what the row says of its own process when no join did.
func (w *writer) rowProcess(e *Event) bool {
	pid, ok := e.Int(event.PID)
	path := e.Text(event.Path)
	if e.Kind == event.Socket && e.Lens.Inventory && path != "" && e.Text(event.Family) == "1" {
		path = "" // osquery puts a unix socket's own path here
	}
	if !ok || pid <= 0 {
		return false
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
	return false
}

func (w *writer) user(e *Event) {
	id, name := e.Text(event.UID), e.Text(event.UserName)
	if id == "" && name == "" {
		return
	}
	w.object("user")
	w.text("id", id)
	w.text("name", name)
	w.close('}')
}

func (w *writer) names(e *Event) {
	if domain := e.Text(event.Domain); domain != "" {
		w.object("dns")
		w.object("question")
		w.text("name", domain)
		w.close('}')
		w.close('}')
	}
	if url := e.Text(event.URL); url != "" {
		w.object("url")
		w.text("original", url)
		w.close('}')
	}
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

// evidence tells where the row was read and how late: from the event to the
// append where there was one.
func (w *writer) evidence(e *Event, ingested time.Time) {
	w.array("evidence")
	w.item()
	w.open('{')
	w.place(e.Position)
	seen := e.Appended
	if !seen.IsZero() && !e.Time.IsZero() {
		w.number("lateness_ms", seen.Sub(e.Time).Milliseconds())
	}
	w.close('}')
	w.close(']')
	_ = ingested
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

// clip cuts s to at most n bytes at a character's edge.
func clip(s string, n int) string {
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func firstText(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// baseName is the last element of a path of either family of systems.
func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' || path[i] == '\\' {
			return path[i+1:]
		}
	}
	return path
}

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
