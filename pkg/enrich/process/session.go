package process

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxPossible is how many logins are told of where one of several is it.
const maxPossible = 8

// changesUser tells the programs by which one user goes on as another.
func changesUser(program string) bool {
	switch program {
	case "sudo", "su", "doas", "pkexec", "runuser":
		return true
	}
	return false
}

// session finds the login that the process at the end of a chain of parents belongs
// to. The chain is nearest first. It returns nil where nothing is known.
func (h *host) session(e *enrich.Event, chain []link, at int64) *enrich.Session {
	auid := auditUser(e, chain)
	s := enrich.Session{Hops: h.hops(chain)}
	if set(auid) {
		s.AuditUserID, s.AuditUserName = auid, h.userName(auid)
	}
	if len(h.logins) > 0 {
		h.findLogin(e, &s, chain, auid, at)
	}
	if s.How == "" && s.AuditUserID == "" && len(s.Hops) == 0 {
		return nil
	}
	if s.AuditUserName == "" && s.AuditUserID != "" && s.AuditUserID == s.UserID {
		s.AuditUserName = s.UserName
	}
	found := s
	return &found
}

// auditUser is the audit user of a process: what its own row or the event tells, else
// that of the nearest parent which has one, since it passes from parent to child.
func auditUser(e *enrich.Event, chain []link) string {
	own := chain[0].auid
	if own == "" {
		own = e.Text(event.AuditUID)
	}
	for i := 1; i < len(chain) && own == ""; i++ {
		if auid := chain[i].auid; auid != "" {
			if !set(auid) { // a login in between may have set it
				return ""
			}
			own = auid
		}
	}
	return own
}

func (h *host) findLogin(e *enrich.Event, s *enrich.Session, chain []link, auid string, at int64) {
	for i := range chain {
		if found := h.loginOf(&chain[i], at); found != nil {
			s.How, s.Login = enrich.SessionByPID, found.Login
			h.record.origins.Cite(e, "session", found.ID, found.from)
			return
		}
	}
	open := h.openLogins(auid, chain[0].uid, at)
	open = open[:min(len(open), maxPossible)]
	switch {
	case len(open) == 0:
	case len(open) == 1 && set(auid):
		s.How, s.Login = enrich.SessionByAudit, open[0].Login
	default:
		s.How = enrich.SessionPossible
		for _, o := range open {
			s.Possible = append(s.Possible, o.Login)
		}
	}
	for _, o := range open {
		h.record.origins.Cite(e, "session", o.ID, o.from)
	}
}

// loginOf is the login whose process is the given one: one of its pid, not before
// its start and not after the event, the last of several.
func (h *host) loginOf(k *link, at int64) *login {
	l := h.logins[k.pid]
	if l == nil {
		return nil
	}
	all, began := l.all(h, k.pid), h.began(k)
	for i := len(all) - 1; i >= 0; i-- {
		if o := &all[i]; o.start <= at+adopt && o.start >= began-adopt {
			return o
		}
	}
	return nil
}

// began is when the process began, whatever it ran since.
func (h *host) began(k *link) int64 {
	v := k.version
	if v.is(unstarted) {
		return h.boot(v.start)
	}
	who := h.pids[k.pid]
	for range maxPerPID {
		if who == nil {
			break
		}
		before := who.previous(v, h.boot(v.start))
		if before == nil {
			break
		}
		v = before
	}
	return v.start
}

// openLogins are the logins that a process may belong to by its audit user, or by
// its user where no table tells that. What runs under no audit user was not started
// by a login.
func (h *host) openLogins(auid, uid string, at int64) (open []*login) {
	if auid == "" && uid == "0" || auid != "" && !set(auid) {
		return nil
	}
	uid = cmp.Or(auid, uid)
	for pid, l := range h.logins {
		all := l.all(h, pid)
		for i := range all {
			if o := &all[i]; o.UserID == uid && uid != "" && h.openAt(o, at) {
				open = append(open, o)
			}
		}
	}
	slices.SortFunc(open, func(a, b *login) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.PID, b.PID)) })
	return open
}

// hops are the changes of user on the way to the process, oldest first. sudo forks
// itself: of a row of them, the last tells.
func (h *host) hops(chain []link) (hops []enrich.Hop) {
	for i := len(chain) - 1; i > 0; i-- {
		k, next := &chain[i], &chain[i-1]
		if !changesUser(base(k.path)) || k.path == next.path {
			continue
		}
		from := hopFrom(chain, i)
		hops = append(hops, enrich.Hop{
			EntityID: k.id, PID: k.pid, Executable: k.path, CommandLine: k.commandLine,
			From: from, FromName: h.userName(from), To: next.uid, ToName: h.userName(next.uid),
		})
	}
	return hops
}

// hopFrom is the user who ran the program at i of the chain: that of the process
// that started it, since sudo's own row may tell root already.
func hopFrom(chain []link, i int) string {
	for j := i + 1; j < len(chain); j++ {
		if chain[j].path != chain[i].path {
			return chain[j].uid
		}
	}
	return cmp.Or(chain[i].auid, chain[i].uid)
}

// base is the last element of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
