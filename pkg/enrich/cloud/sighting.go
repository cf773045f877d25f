package cloud

import (
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/clip"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// What a process was seen to do.
const (
	started  = "start"    // it began, with a command line that may call AWS
	named    = "name"     // it looked up, or spoke to, a name of AWS's
	metadata = "metadata" // it spoke to the instance's metadata service
	tried    = "key"      // sshd asked EC2 Instance Connect about a key
)

// maxText bounds the texts kept of a process.
const maxText = 1 << 10

// sighting is a moment at which a process was seen to do something that an API call
// may come from. It is kept as JSON in the State.
type sighting struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Event string    `json:"event"`
	// Process may be no more than a pid, until it is known.
	Entity      string          `json:"entity,omitempty"`
	PID         int64           `json:"pid,omitempty"`
	Executable  string          `json:"executable,omitempty"`
	CommandLine string          `json:"command_line,omitempty"`
	Start       time.Time       `json:"start,omitzero"`
	UserID      string          `json:"uid,omitempty"`
	UserName    string          `json:"user,omitempty"`
	Parent      string          `json:"parent,omitempty"` // entity
	Above       []string        `json:"above,omitempty"`  // entities of the ancestors, nearest first
	Names       []string        `json:"names,omitempty"`
	OSUser      string          `json:"os_user,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"`
	Position    enrich.Position `json:"position"`
}

// sightingOf is what an event shows; ok is false for most, which show nothing.
func sightingOf(e *enrich.Event) (s sighting, ok bool) {
	if e.Lens.Inventory || e.Time.IsZero() {
		return s, false
	}
	switch e.Kind {
	case event.Process:
		if ok = s.program(e); !ok {
			return s, false
		}
	case event.Socket, event.DNS, event.TLS, event.HTTP:
		if ok = s.network(e); !ok {
			return s, false
		}
	default:
		return s, false
	}
	s.At, s.Event, s.Position = e.Time, e.ID, e.Position
	s.process(e)
	return s, true
}

func (s *sighting) program(e *enrich.Event) bool {
	path, commandLine := e.Text(event.Path), e.Text(event.CommandLine)
	if base(path) == "eic_run_authorized_keys" || strings.Contains(commandLine, "eic_run_authorized_keys") {
		return s.triedKey(commandLine)
	}
	s.What = started
	return programFamilyOf(path, commandLine) != "" || speaksOfAWS(commandLine)
}

// triedKey reads what sshd hands to EC2 Instance Connect's program: the user who is to
// log in, and the fingerprint of the key that was tried.
func (s *sighting) triedKey(commandLine string) bool {
	fields := strings.Fields(commandLine)
	for i, f := range fields {
		if base(f) == "eic_run_authorized_keys" && i+2 < len(fields) {
			s.What, s.OSUser, s.Fingerprint = tried, fields[i+1], fields[i+2]
			return true
		}
	}
	return false
}

func (s *sighting) network(e *enrich.Event) bool {
	s.What = named
	for _, name := range []string{e.Text(event.Domain), e.Text(event.SNI), e.Text(event.HTTPHost)} {
		s.name(name)
	}
	for i := range e.Names {
		s.name(e.Names[i].Name)
	}
	if len(s.Names) > 0 {
		return true
	}
	s.What = metadata
	switch e.Text(event.RemoteAddress) {
	case "169.254.169.254", "fd00:ec2::254":
		return true
	}
	return false
}

func (s *sighting) name(name string) {
	if ofAWS(name) && len(s.Names) < 8 {
		s.Names = append(s.Names, strings.TrimSuffix(strings.ToLower(name), "."))
	}
}

func (s *sighting) process(e *enrich.Event) {
	if p := e.Process; p != nil {
		s.Entity, s.PID, s.Executable, s.CommandLine = p.EntityID, p.PID, clip.Text(p.Executable, maxText), clip.Text(p.CommandLine, maxText)
		s.Start, s.UserID, s.UserName = p.Start, p.UserID, p.UserName
		for i := range p.Ancestors {
			s.Above = append(s.Above, p.Ancestors[i].EntityID)
		}
		if len(s.Above) > 0 {
			s.Parent = s.Above[0]
		}
		return
	}
	s.PID, _ = e.Int(event.PID)
	s.Executable, s.CommandLine, s.UserID = clip.Text(e.Text(event.Path), maxText), clip.Text(e.Text(event.CommandLine), maxText), e.Text(event.UID)
}

func (s *sighting) family() string { return programFamilyOf(s.Executable, s.CommandLine) }

// subject tells processes apart, also those of which only the pid is known.
func (s *sighting) subject() string {
	if s.Entity != "" {
		return s.Entity
	}
	return "pid " + itoa(s.PID)
}
