package enrich

import "time"

// Session is what is known of the login that a process belongs to. It may tell no
// more than whose audit user the process carries, or which of several logins it
// may belong to.
type Session struct {
	// How the login was found, empty where none was.
	How SessionHow
	Login
	// Possible are the open logins of which one may be the process's, oldest first.
	Possible []Login
	// AuditUserID is the user who logged in, as Linux audit carries it through sudo
	// and su.
	AuditUserID, AuditUserName string
	// Hops are the changes of user between the login and the process, oldest first.
	Hops []Hop
}

// SessionHow says what ties a process to a login.
type SessionHow string

// What ties a process to a login, surest first.
const (
	SessionByPID    SessionHow = "pid"      // an ancestor is the login's own process
	SessionByAudit  SessionHow = "auid"     // its audit user has one open login
	SessionPossible SessionHow = "possible" // several may be it
)

// Logins are the login that was found, or those that are possible, to be filled in.
func (s *Session) Logins() []*Login {
	if s.How != SessionPossible {
		return []*Login{&s.Login}
	}
	var all []*Login
	for i := range s.Possible {
		all = append(all, &s.Possible[i])
	}
	return all
}

// Login is one login to a host.
type Login struct {
	// ID is the same for every event of this login.
	ID               string
	PID              int64
	UserID, UserName string
	Terminal         string
	// Remote is where it came from, an address or a name.
	Remote string
	// Location is that of Remote, where it is an address.
	Location Location
	Start    time.Time
}

// Hop is a process by which one user went on as another: sudo, su, doas, pkexec.
type Hop struct {
	EntityID    string
	PID         int64
	Executable  string
	CommandLine string
	From, To    string // user ids
	FromName    string
	ToName      string
}
