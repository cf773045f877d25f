package process

import (
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxDepth is how far an ancestry is followed; maxPrevious how many earlier programs
// of one process are told.
const (
	maxDepth    = 32
	maxPrevious = 8
)

// link is one process of an ancestry.
type link struct {
	*version
	pid int64
}

// answer gives the event the process that had its pid when it happened, and returns
// it.
func (h *host) answer(e *enrich.Event, pid int64) *version {
	e.Ask(pid)
	at := when(e)
	v, contradicted := h.find(pid, at, ownPath(e), token(e))
	if v == nil {
		e.AddGap("process", h.missing(contradicted))
		return nil
	}
	h.tell(e, link{v, pid}, at)
	return v
}

// missing is why there is no answer.
func (h *host) missing(contradicted bool) string {
	switch {
	case contradicted:
		return enrich.ProcessMismatch
	case h.record.evicted > 0:
		return enrich.ProcessEvicted
	}
	return enrich.ProcessUnknown
}

// when is the time at which the event's pid was what it says. Tables of logins are
// of states, but tell when each began.
func when(e *enrich.Event) int64 {
	if e.Kind == event.Login && e.Lens.Inventory {
		if n, ok := e.Int(event.Time); ok && n > 0 {
			return nanos(time.Unix(n, 0))
		}
	}
	return nanos(e.Time)
}

// ownPath is what the event itself says its process runs, where its table says
// so reliably: a listening or open unix socket's path is the socket's.
func ownPath(e *enrich.Event) []byte {
	v, ok := e.Field(event.Path)
	switch {
	case !ok || e.Lens.Inventory || v.Empty():
		return nil
	case v.Escaped:
		return []byte(v.Text())
	}
	return v.Raw
}

// tell writes what is known of a process into the event.
func (h *host) tell(e *enrich.Event, first link, at int64) {
	var room [maxDepth + 1]link
	chain := h.chain(e, append(room[:0], first))
	p := e.NewProcess(len(chain) - 1)
	h.describe(p, &first)
	p.Previous = h.programs(&first)
	for i := range p.Ancestors {
		h.describe(&p.Ancestors[i], &chain[i+1])
	}
	for i := 0; i < len(chain) && p.ContainerID == ""; i++ {
		p.ContainerID = h.contained(chain[i].pid, chain[i].version)
	}
	h.cite(e, chain)
	if first.is(thin) {
		e.AddGap("command_line", enrich.ProcessThin)
	}
	e.Session = h.session(e, chain, at)
}

// maxCited is how many ancestors' rows are cited: as many as are told.
const maxCited = 8

// cite names the rows that tell of a process and its nearest ancestors. An event's own
// row is named by the event.
func (h *host) cite(e *enrich.Event, chain []link) {
	for i := range chain[:min(len(chain), maxCited+1)] {
		part, v := "ancestor", chain[i].version
		if i == 0 {
			part = "process"
			if at, _ := h.record.origins.Position(v.from); at == e.Position {
				continue
			}
		}
		h.record.origins.Cite(e, part, v.id, v.from)
	}
}

// chain follows parents to pid 1, as they were when each child started.
func (h *host) chain(e *enrich.Event, chain []link) []link {
	for len(chain) <= maxDepth {
		v := &chain[len(chain)-1]
		if v.pid == 1 || v.parent <= 0 {
			return chain
		}
		e.Ask(v.parent)
		parent, _ := h.find(v.parent, v.start, nil, "")
		if parent == nil || met(chain, parent) {
			reason := enrich.ParentUnknown
			if h.record.evicted > 0 {
				reason = enrich.ParentEvicted
			}
			e.AddGap("ancestry", reason)
			return chain
		}
		chain = append(chain, link{parent, v.parent})
	}
	return chain
}

// met tells whether a chain runs into itself: rows of one second can seem to have
// started each other.
func met(chain []link, v *version) bool {
	for i := range chain {
		if chain[i].version == v {
			return true
		}
	}
	return false
}

func (h *host) describe(p *enrich.Process, k *link) {
	v := k.version
	p.EntityID, p.PID, p.Executable, p.CommandLine, p.WorkingDirectory = v.id, k.pid, v.path, v.commandLine, v.directory
	p.UserID, p.AuditUserID, p.Inferred = v.uid, v.auid, v.is(forked|inventory)
	if p.UserName = v.user; v.user == "" {
		p.UserName = h.userName(v.uid)
	}
	if !v.is(unstarted) {
		p.Start = instant(v.start)
	}
}

// programs are what a process ran before, oldest first.
func (h *host) programs(k *link) (all []enrich.Process) {
	who := h.pids[k.pid]
	if who == nil || len(who.versions) < 2 {
		return nil
	}
	v := k.version
	for range maxPrevious {
		if v = who.previous(v, h.boot(v.start)); v == nil {
			break
		}
		all = append(all, enrich.Process{EntityID: v.id, Executable: v.path, CommandLine: v.commandLine, Start: instant(v.start)})
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}
