package enrich

import "github.com/stackjoin/stackjoin/pkg/event"

// maxHops is how many changes of user an enrichment tells, the last ones.
const maxHops = 8

// session writes the login that the event's process belongs to.
func (w *writer) session(e *Event) {
	s := e.Session
	if s == nil {
		return
	}
	w.key("session")
	w.sessionObject(s)
}

func (w *writer) sessionObject(s *Session) {
	w.open('{')
	w.text("how", string(s.How))
	if s.How != SessionPossible {
		w.login(&s.Login)
	}
	w.person("audit_user", s.AuditUserID, s.AuditUserName)
	w.hops(s.Hops)
	if len(s.Possible) > 0 {
		w.array("possible")
		for i := range s.Possible {
			w.item()
			w.open('{')
			w.login(&s.Possible[i])
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
}

// login writes the members of a login.
func (w *writer) login(l *Login) {
	w.text("id", l.ID)
	if l.PID > 0 {
		w.number("pid", l.PID)
	}
	w.time("start", l.Start)
	w.text("tty", l.Terminal)
	w.person("user", l.UserID, l.UserName)
	if l.Remote == "" {
		return
	}
	w.object("source")
	w.text("address", l.Remote)
	if addr, ok := address(l.Remote); ok {
		w.text("ip", addr.String())
	}
	w.location(&l.Location)
	w.close('}')
}

func (w *writer) hops(hops []Hop) {
	if len(hops) == 0 {
		return
	}
	shown := hops[max(0, len(hops)-maxHops):]
	w.cut = w.cut || len(shown) < len(hops)
	w.array("hops")
	for i := range shown {
		h := &shown[i]
		w.item()
		w.open('{')
		w.text("entity_id", h.EntityID)
		w.number("pid", h.PID)
		w.text("executable", w.clip(h.Executable, maxAncestor/2))
		w.text("command_line", w.clip(h.CommandLine, maxAncestor/2))
		w.person("from", h.From, h.FromName)
		w.person("to", h.To, h.ToName)
		w.close('}')
	}
	w.close(']')
}

// person writes a user, nothing when nothing is known.
func (w *writer) person(name, id, called string) {
	if id == "" && called == "" {
		return
	}
	w.object(name)
	w.text("id", id)
	w.text("name", called)
	w.close('}')
}

// user writes who did it: the row's own word, else the user of the process.
func (w *writer) user(e *Event) {
	id, name := e.Text(event.UID), e.Text(event.UserName)
	if p := e.Process; p != nil {
		switch {
		case id == "" && name == "":
			id, name = p.UserID, p.UserName
		case name == "" && id == p.UserID:
			name = p.UserName
		}
	}
	w.person("user", id, name)
}

// container writes the container that the process runs in.
func (w *writer) container(e *Event) {
	if e.Process == nil || e.Process.ContainerID == "" {
		return
	}
	w.object("container")
	w.text("id", e.Process.ContainerID)
	w.close('}')
}

// previous writes what a process ran before.
func (w *writer) previous(all []Process) {
	if len(all) == 0 {
		return
	}
	w.array("previous")
	for i := range all {
		w.item()
		w.open('{')
		w.text("entity_id", all[i].EntityID)
		w.text("executable", w.clip(all[i].Executable, maxAncestor/2))
		w.text("command_line", w.clip(all[i].CommandLine, maxAncestor/2))
		w.time("start", all[i].Start)
		w.close('}')
	}
	w.close(']')
}
