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
	w.Key("session")
	w.sessionObject(s)
}

func (w *writer) sessionObject(s *Session) {
	w.Open('{')
	w.Text("how", string(s.How))
	if s.How != SessionPossible {
		w.login(&s.Login)
	}
	w.person("audit_user", s.AuditUserID, s.AuditUserName)
	w.hops(s.Hops)
	if len(s.Possible) > 0 {
		w.array("possible")
		for i := range s.Possible {
			w.Comma()
			w.Open('{')
			w.login(&s.Possible[i])
			w.Close('}')
		}
		w.Close(']')
	}
	w.Close('}')
}

// login writes the members of a login.
func (w *writer) login(l *Login) {
	w.Text("id", l.ID)
	if l.PID > 0 {
		w.Number("pid", l.PID)
	}
	w.Time("start", l.Start)
	w.Text("tty", l.Terminal)
	w.person("user", l.UserID, l.UserName)
	if l.Remote == "" {
		return
	}
	w.object("source")
	w.Text("address", l.Remote)
	if addr, ok := address(l.Remote); ok {
		w.Text("ip", addr.String())
	}
	w.location(&l.Location)
	w.Close('}')
}

func (w *writer) hops(hops []Hop) {
	if len(hops) == 0 {
		return
	}
	shown := hops[max(0, len(hops)-maxHops):]
	w.Cut = w.Cut || len(shown) < len(hops)
	w.array("hops")
	for i := range shown {
		h := &shown[i]
		w.Comma()
		w.Open('{')
		w.Text("entity_id", h.EntityID)
		w.Number("pid", h.PID)
		w.Text("executable", w.Clip(h.Executable, maxAncestor/2))
		w.Text("command_line", w.Clip(h.CommandLine, maxAncestor/2))
		w.person("from", h.From, h.FromName)
		w.person("to", h.To, h.ToName)
		w.Close('}')
	}
	w.Close(']')
}

// person writes a user, nothing when nothing is known.
func (w *writer) person(name, id, called string) {
	if id == "" && called == "" {
		return
	}
	w.object(name)
	w.Text("id", id)
	w.Text("name", called)
	w.Close('}')
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
	w.Text("id", e.Process.ContainerID)
	w.Close('}')
}

// previous writes what a process ran before.
func (w *writer) previous(all []Process) {
	if len(all) == 0 {
		return
	}
	w.array("previous")
	for i := range all {
		w.Comma()
		w.Open('{')
		w.Text("entity_id", all[i].EntityID)
		w.Text("executable", w.Clip(all[i].Executable, maxAncestor/2))
		w.Text("command_line", w.Clip(all[i].CommandLine, maxAncestor/2))
		w.Time("start", all[i].Start)
		w.Close('}')
	}
	w.Close(']')
}
