package process

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxCommandLine is how much of a command line is kept for later answers.
const maxCommandLine = 4 << 10

// version is one execution of one program by one pid.
type version struct {
	id          string
	pid, parent int64
	start       time.Time
	// order breaks ties between versions of one second: eid where the query
	// names it, else the row's own place.
	order             string
	path, commandLine string
	directory         string
	uid, auid         string
	inferred          bool
	// inventory marks a version made from `processes`; an exec row of the same
	// start stands for it. listed is set while that table still shows it.
	inventory, listed bool
}

func (v *version) describe() *enrich.Process {
	return &enrich.Process{
		EntityID: v.id, PID: v.pid, Executable: v.path, CommandLine: v.commandLine, WorkingDirectory: v.directory,
		Start: v.start, UserID: v.uid, AuditUserID: v.auid, Inferred: v.inferred,
	}
}

// identity names a version: hash(host, boot, pid, start, eid). osquery's rows
// do not tell the boot, so it is empty until a lens answers for it. A version
// from `processes` has no eid: its start and path stand for it.
func identity(e *enrich.Event, v *version) string {
	tie := v.path
	if eid, ok := e.Field(event.EID); ok && !eid.Empty() {
		tie = "eid:" + eid.Text()
	} else if !v.inventory {
		tie = e.ID
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{
		string(e.Host), "", strconv.FormatInt(v.pid, 10), strconv.FormatInt(v.start.Unix(), 10), tie,
	}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// host is what is known of one host's processes.
type host struct {
	// pids holds each pid's versions, by start and then order.
	pids    map[int64][]*version
	count   int
	sweepAt time.Time
	// text interns paths and command lines, of which a host has few.
	text map[string]string
}

func (h *host) intern(s string) string {
	if s == "" {
		return ""
	}
	if kept, ok := h.text[s]; ok {
		return kept
	}
	if len(h.text) >= 1<<14 {
		clear(h.text)
	}
	h.text[s] = s
	return s
}

func compare(a, b *version) int {
	if c := a.start.Compare(b.start); c != 0 {
		return c
	}
	return strings.Compare(a.order, b.order)
}

// add keeps v, unless an equal one was there before, and returns the version it
// stands for. What is kept depends on which rows were taken and not on their
// order, so that rows may be taken again, as when a transaction is tried again.
func (h *host) add(v *version) *version {
	versions := h.pids[v.pid]
	if i := slices.IndexFunc(versions, func(old *version) bool { return old.id == v.id }); i >= 0 {
		versions[i].listed = versions[i].listed || v.listed
		return settle(versions, versions[i])
	}
	at, _ := slices.BinarySearchFunc(versions, v, compare)
	versions = slices.Insert(versions, at, v)
	h.pids[v.pid] = versions
	h.count++
	return settle(versions, v)
}

// kept returns the version that v was kept as, or v when it was forgotten.
func (h *host) kept(v *version) *version {
	versions := h.pids[v.pid]
	if i := slices.IndexFunc(versions, func(old *version) bool { return old.id == v.id }); i >= 0 {
		return settle(versions, versions[i])
	}
	return v
}

// settle returns the version that v's execution is known by: the exec row's where
// `processes` tells of the same start and program, the nearest of several.
func settle(versions []*version, v *version) *version {
	if !v.inventory {
		return v
	}
	best, nearest := v, adopt
	for _, other := range versions {
		apart := v.start.Sub(other.start).Abs()
		if !other.inventory && other.path == v.path && (apart < nearest || best == v && apart == adopt) {
			best, nearest = other, apart
		}
	}
	return best
}

// find returns the version of pid whose start is latest, not after at. Where
// the event says its path, a version of the same second with that path is
// preferred, and another path is a contradiction, not an answer.
func (h *host) find(pid int64, at time.Time, path string) (v *version, contradicted bool) {
	versions := h.pids[pid]
	for i := len(versions) - 1; i >= 0; i-- {
		candidate := versions[i]
		if candidate.start.After(at) || settle(versions, candidate) != candidate {
			continue
		}
		if v != nil && !candidate.start.Equal(v.start) {
			break
		}
		if path == "" || candidate.path == path {
			return candidate, false
		}
		if v == nil {
			v = candidate
		}
	}
	return nil, v != nil
}

// sweep forgets the versions that started before t. Those that `processes`
// still lists stay: they are told once and may run for years.
func (h *host) sweep(t time.Time) {
	h.forget(func(v *version) bool { return v.start.Before(t) && !v.listed })
}

// unlist notes that `processes` no longer shows the pid with that path; it then
// ages like any other.
func (h *host) unlist(pid int64, path string) {
	for _, v := range h.pids[pid] {
		if v.path == path {
			v.listed = false
		}
	}
}

// evict forgets the n versions that started first, and returns how many.
func (h *host) evict(n int) int {
	var all []*version
	for _, versions := range h.pids {
		all = append(all, versions...)
	}
	slices.SortFunc(all, compare)
	n = min(n, len(all))
	edge := all[n-1]
	before := h.count
	h.forget(func(v *version) bool { return compare(v, edge) <= 0 })
	return before - h.count
}

func (h *host) forget(old func(*version) bool) {
	for pid, versions := range h.pids {
		kept := slices.DeleteFunc(versions, old)
		h.count -= len(versions) - len(kept)
		if len(kept) == 0 {
			delete(h.pids, pid)
			continue
		}
		h.pids[pid] = kept
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
