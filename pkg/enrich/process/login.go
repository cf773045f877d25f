package process

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const (
	// oneLogin is how far apart the sources tell of one login: audit when it was let
	// in, utmp when its terminal was open.
	oneLogin = int64(time.Minute)
	// maxFacts and maxLoginPIDs bound what is kept of a host's logins.
	maxFacts     = 32
	maxLoginPIDs = 512
)

// Sources of facts about logins, the most telling of the terminal first.
const (
	fromLast uint8 = iota
	fromLoggedIn
	fromAudit
)

// fact is what one row told of a login: that it was open, or that it was over.
type fact struct {
	at        int64
	source    uint8
	out       bool
	uid, user string
	terminal  string
	remote    string
	from      origin.Place // the row
}

// logins are what is known of the logins whose process had one pid.
type logins struct {
	facts []fact // ordered by compareFacts
	// built is what they come to, until a fact or a user's name is learnt.
	built []login
	done  bool
}

// login is one login put together from what was told of it.
type login struct {
	enrich.Login
	start, end int64 // end is 0 while it is open
	from       origin.Place
}

// all returns the logins of a pid, oldest first.
func (l *logins) all(h *host, pid int64) []login {
	if !l.done {
		l.built, l.done = l.build(h, pid), true
	}
	return l.built
}

// build puts the logins of a pid together.
func (l *logins) build(h *host, pid int64) (all []login) {
	for i := range l.facts {
		f := &l.facts[i]
		last := len(all) - 1
		if last >= 0 && all[last].end == 0 && (f.out || f.at <= all[last].start+oneLogin) {
			all[last].take(h, f)
			continue
		}
		if f.out {
			continue // the end of a login that was not seen
		}
		all = append(all, login{start: f.at, from: f.from})
		all[last+1].take(h, f)
	}
	for i := range all {
		o := &all[i]
		o.PID, o.Start = pid, instant(o.start)
		o.ID = hash(h.name, "login", strconv.FormatInt(pid, 10), strconv.FormatInt(o.start/int64(time.Second), 10))
	}
	return all
}

// take adds what a fact tells to the login that it is of.
func (o *login) take(h *host, f *fact) {
	if f.out {
		o.end = f.at
		return
	}
	if o.UserID == "" {
		if o.UserID = f.uid; f.uid == "" {
			o.UserID = h.userID(f.user)
		}
	}
	if o.UserName == "" {
		if o.UserName = f.user; f.user == "" {
			o.UserName = h.userName(f.uid)
		}
	}
	if o.Remote == "" {
		o.Remote = f.remote
	}
	if o.Terminal == "" || f.source != fromAudit {
		o.Terminal = f.terminal
	}
}

// userID is the id of the user of that name, where the host told.
func (h *host) userID(name string) (id string) {
	if name == "" {
		return ""
	}
	for uid, u := range h.users {
		if u.name == name && (id == "" || uid < id) {
			id = uid
		}
	}
	return id
}

// openAt tells whether the login was open then. Rows tell times in seconds. It is
// over with the process that it began with, too.
func (h *host) openAt(o *login, at int64) bool {
	boot := h.boot(at)
	if o.start > at+adopt || o.start < boot-slack || o.end != 0 && o.end < at {
		return false
	}
	v, _ := h.find(o.PID, o.start+adopt, nil, "")
	return v == nil || !h.pids[o.PID].endedAt(v, query{at: at, boot: boot})
}

// Types of user_events, as Linux audit numbers them.
const (
	auditUserStart  = 1105
	auditUserEnd    = 1106
	auditUserLogin  = 1112
	auditUserLogout = 1113
)

// Types of utmp entries, as `last` tells them.
const (
	utmpUser = 7
	utmpDead = 8
)

// loginFact reads what a row tells of a login; ok is false where it tells nothing.
func loginFact(e *enrich.Event) (f fact, ok bool) {
	f = fact{
		at: nanos(e.Time), uid: e.Text(event.UID), user: e.Text(event.UserName),
		terminal: terminal(e.Text(event.Terminal)), remote: remote(e),
	}
	kind, _ := e.Int(event.Verb)
	switch e.Lens.Table {
	case "user_events":
		return f, f.audit(e, kind)
	case "last":
		f.source, f.out = fromLast, kind == utmpDead
		return f, (kind == utmpUser || kind == utmpDead) && f.told(e)
	case "logged_in_users":
		f.source, f.out = fromLoggedIn, e.Action.Text() == "removed"
		word := e.Text(event.Verb)
		return f, (word == "user" || word == "active" || word == "") && (f.out || f.told(e))
	}
	return f, false
}

// told takes the time at which a table of states says that it happened.
func (f *fact) told(e *enrich.Event) bool {
	n, ok := e.Int(event.Time)
	if !ok || n <= 0 || e.Action.Text() == "removed" {
		return false
	}
	f.at = nanos(time.Unix(n, 0))
	return true
}

// audit reads a row of user_events. Its uid is that of the program that told, root's
// for sshd: who logged in is the audit user, and nobody is while that is not set.
func (f *fact) audit(e *enrich.Event, kind int64) bool {
	f.source, f.uid = fromAudit, e.Text(event.AuditUID)
	program := base(e.Text(event.Path))
	switch kind {
	case auditUserEnd, auditUserLogout:
		f.out = true
	case auditUserStart:
		// These open a session of PAM's within a login, or without any.
		switch program {
		case "systemd", "systemd-executor", "cron", "crond", "atd", "anacron":
			return false
		}
	case auditUserLogin:
	default:
		return false
	}
	return set(f.uid) && !changesUser(program)
}

// set tells whether an audit user id is one: -1 is that nobody logged in.
func set(auid string) bool { return auid != "" && auid != "4294967295" && auid != "-1" }

func terminal(s string) string { return strings.TrimPrefix(s, "/dev/") }

// remote is where a login came from: an address, or what utmp has in its place.
func remote(e *enrich.Event) string {
	if s := e.Text(event.RemoteAddress); s != "" && s != "?" {
		return s
	}
	return e.Text(event.RemoteHost)
}

// takeLogin keeps what a row tells of a login.
func (o *Operator) takeLogin(h *host, e *enrich.Event) error {
	f, ok := loginFact(e)
	pid, has := e.Int(event.PID)
	if !ok || !has || pid <= 0 {
		return nil
	}
	l := h.logins[pid]
	if l == nil {
		if err := o.roomForLogin(h); err != nil {
			return err
		}
		l = &logins{}
	}
	var err error
	if f.from, err = o.store.place(h, e); err != nil {
		return err
	}
	at, found := slices.BinarySearchFunc(l.facts, &f, func(have fact, f *fact) int { return compareFacts(&have, f) })
	if found && !h.record.origins.Earlier(f.from, l.facts[at].from) {
		return nil
	}
	if found {
		l.facts[at].from = f.from
	} else if l.facts = slices.Insert(l.facts, at, f); len(l.facts) > maxFacts {
		l.facts = slices.Delete(l.facts, 0, 1)
	}
	l.done = false
	e.Learned = enrich.Learned{Session: true, Since: instant(f.at - adopt)}
	return o.store.putLogins(h, pid, l)
}

// roomForLogin forgets the pid of whose logins nothing was told for longest, where
// there are too many.
func (o *Operator) roomForLogin(h *host) error {
	if len(h.logins) < maxLoginPIDs {
		return nil
	}
	oldest, least := int64(0), int64(math.MaxInt64)
	for pid, l := range h.logins {
		if at := l.facts[len(l.facts)-1].at; at < least || at == least && pid < oldest {
			oldest, least = pid, at
		}
	}
	return o.store.putLogins(h, oldest, &logins{})
}

// takeUser keeps what a user is called.
func (o *Operator) takeUser(h *host, e *enrich.Event) error {
	uid, name := e.Text(event.UID), e.Text(event.UserName)
	if uid == "" || name == "" || e.Action.Text() == "removed" {
		return nil
	}
	u := user{name, nanos(e.Time)}
	old, known := h.users[uid]
	if known && (old.name == u.name || old.at > u.at || old.at == u.at && old.name > u.name) || !known && len(h.users) >= maxUsers {
		return nil
	}
	e.Learned = enrich.Learned{Session: true}
	for _, l := range h.logins {
		l.done = false
	}
	return o.store.putUser(h, uid, u)
}

// maxUsers bounds the names kept of a host.
const maxUsers = 4096
