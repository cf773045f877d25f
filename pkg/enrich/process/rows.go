package process

import (
	"hash/fnv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/clip"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// What a row of a process table says happened.
type happening uint8

const (
	nothing happening = iota // or nothing that makes or ends a process
	started                  // its pid runs its path from now on
	split                    // its child pid runs what its pid runs
	listed                   // its pid runs its path, since some time
	absent                   // its pid no longer runs its path
	ended                    // its pid's process is over
)

// happened reads what a process row means. Kill rows carry the sender's pid; rows of
// kinds we do not know say nothing.
func happened(e *enrich.Event) happening {
	if e.Lens.Inventory {
		if e.Action.Text() == "removed" {
			return absent
		}
		return listed
	}
	switch verb(e) {
	case "", "exec", "execve", "execveat", "ProcessStart", "PROC_CREATE":
		if e.Lens.Table == "bpf_process_events" && failed(e) {
			return nothing
		}
		return started
	case "fork", "vfork", "clone", "clone3":
		if e.Lens.Column(event.ChildPID) != "" {
			return split // this table's fork rows carry the pid of who forked
		}
		return started
	case "exit", "ProcessStop", "PROC_TERMINATE":
		return ended
	}
	return nothing
}

func verb(e *enrich.Event) string { return strings.TrimPrefix(e.Text(event.Syscall), "sys_") }

// failed tells whether the call that the row is about returned an error: then no
// program was run.
func failed(e *enrich.Event) bool {
	code := e.Text(event.ExitCode)
	return code != "" && code != "0"
}

// forks tells a row of a process that has not run a program of its own: its path is
// its parent's.
func forks(e *enrich.Event) bool {
	switch verb(e) {
	case "fork", "vfork", "clone", "clone3":
		return true
	}
	return false
}

// version reads what a process row tells of the process that runs from then on.
func (o *Operator) version(e *enrich.Event, pid int64) version {
	parent, _ := e.Int(event.ParentPID)
	v := version{
		start: nanos(e.Time), parent: parent, order: orderOf(e),
		path: o.text(e, event.Path), commandLine: clip.Text(e.Text(event.CommandLine), maxCommandLine),
		directory: o.text(e, event.WorkingDirectory), uid: o.text(e, event.UID), auid: o.text(e, event.AuditUID),
		user: o.text(e, event.UserName), token: token(e),
	}
	if forks(e) {
		v.flags |= forked
	}
	if id := containerID(e.Text(event.CgroupPath)); id != "" {
		v.container = o.store.intern([]byte(id))
	}
	tie := e.ID
	if eid, ok := e.Field(event.EID); ok && !eid.Empty() {
		tie = "eid:" + eid.Text()
	}
	if e.Lens.Inventory {
		tie = v.listing(e)
	}
	v.id = identity(e.Host, pid, v.start, tie)
	return v
}

// listing fills in what is particular to a row of `processes`.
// It returns what tells it from others of its second.
func (v *version) listing(e *enrich.Event) (tie string) {
	v.flags |= inventory
	v.first, v.listed, v.lister, v.order = v.start, v.start, lister(e), order{}
	if n, ok := e.Int(event.StartTime); ok && n > 0 {
		v.start = nanos(time.Unix(n, 0))
		return v.path
	}
	v.flags |= unstarted
	return "listed:" + v.path
}

// child reads what a fork row tells of the child.
func (o *Operator) child(e *enrich.Event, pid, child int64) version {
	v := o.version(e, child)
	v.parent, v.token = pid, "" // the token is the parent's
	v.flags |= forked
	return v
}

func (o *Operator) text(e *enrich.Event, f event.Field) string {
	v, ok := e.Field(f)
	if !ok {
		return ""
	}
	if v.Escaped || !v.String {
		return o.store.intern([]byte(v.Text()))
	}
	return o.store.intern(v.Raw)
}

// token is what tells two processes of one pid apart where the system gives such a
// thing.
func token(e *enrich.Event) string {
	if guid := e.Text(event.ProcessGUID); guid != "" {
		return guid
	}
	if n := e.Text(event.PIDVersion); n != "" {
		return "v" + n
	}
	return ""
}

// lister names the query that listed a process.
func lister(e *enrich.Event) uint32 {
	sum := fnv.New32a()
	_, _ = sum.Write(e.Query.Raw) // never fails
	return sum.Sum32()
}

// orderOf is the row's place among those of its second: osquery's own event number
// where the query names it, else its place in its host's stream.
func orderOf(e *enrich.Event) order {
	if n, ok := e.Int(event.EID); ok && n >= 0 {
		return order{uint64(n), 0}
	}
	if e.Delivered {
		return order{e.Delivery.Seq, uint64(e.Delivery.Row)}
	}
	return order{uint64(e.Position.Offset + e.Position.Line), 0}
}

// containerIDLen is the length of the ids that Docker, containerd and CRI-O give.
const containerIDLen = 64

// containerID finds the container in a control group's path: the last 64
// hexadecimal digits that stand alone.
func containerID(cgroup string) string {
	run := 0
	for i := len(cgroup) - 1; i >= -1; i-- {
		if i >= 0 && strings.IndexByte("0123456789abcdef", cgroup[i]) >= 0 {
			run++
			continue
		}
		if run == containerIDLen {
			return cgroup[i+1 : i+1+run]
		}
		run = 0
	}
	return ""
}
