package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// exec is a process_events row as osquery 5.23 writes it on Linux.
func exec(host string, at, pid, parent int, path, syscall string) string {
	return fmt.Sprintf(`{"name":"process_events","hostIdentifier":%q,"unixTime":%d,"columns":{"auid":"1000","cmdline":"%s -x","cwd":"\"/root\"",`+
		`"parent":"%d","path":"%s","pid":"%d","syscall":"%s","time":"%d","uid":"0"},"action":"added"}`, host, at+30, path, parent, path, pid, syscall, at)
}

func connect(host string, at, pid int, path string) string {
	return fmt.Sprintf(`{"name":"socket_events","hostIdentifier":%q,"unixTime":%d,"columns":{"action":"connect","family":"2","local_address":"",`+
		`"local_port":"0","path":"%s","pid":"%d","remote_address":"203.0.113.9","remote_port":"443","status":"succeeded","time":"%d"},"action":"added"}`,
		host, at+30, path, pid, at)
}

func listed(host, action string, at, pid, parent, start int, path string) string {
	return fmt.Sprintf(`{"name":"processes","hostIdentifier":%q,"unixTime":%d,"columns":{"cmdline":"%s","parent":"%d","path":"%s","pid":"%d",`+
		`"start_time":"%d","resident_size":"1"},"action":"%s"}`, host, at, path, parent, path, pid, start, action)
}

// enriched is what these tests read of the output.
type enriched struct {
	Enrichment struct {
		Process struct {
			EntityID    string `json:"entity_id"`
			Executable  string
			CommandLine string `json:"command_line"`
			Inferred    bool
			Ancestors   []struct {
				EntityID   string `json:"entity_id"`
				PID        int
				Executable string
			}
		}
		Session  struct{ ID string }
		Evidence []struct {
			For, ID string
			Line    int
		}
		Gaps []struct{ Question, Reason string }
	}
}

func (e enriched) ancestors() string {
	var b strings.Builder
	for _, a := range e.Enrichment.Process.Ancestors {
		fmt.Fprintf(&b, " %d", a.PID)
	}
	return strings.TrimSpace(b.String())
}

func (e enriched) gaps() string {
	var b strings.Builder
	for _, g := range e.Enrichment.Gaps {
		fmt.Fprintf(&b, " %s", g.Reason)
	}
	return strings.TrimSpace(b.String())
}

// newEvent is an event as a pipeline hands it to an operator.
func newEvent(t testing.TB, row string) *enrich.Event {
	t.Helper()
	e := &enrich.Event{}
	if err := e.Parse([]byte(row)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind, e.Host, e.ID = e.Lens.Kind, enrich.Host(e.HostIdentifier.Text()), row
	seconds, ok := e.Int(event.Time)
	if !ok {
		seconds, _ = e.UnixTime.Int()
	}
	e.Time = time.Unix(seconds, 0).UTC()
	return e
}

// run takes rows through a pipeline with the operator under test.
func run(t interface{ Fatal(...any) }, op *process.Operator, rows ...string) []enriched {
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, nil)
	var out enrich.Out
	for i, r := range rows {
		in := enrich.Input{Value: []byte(r), Position: enrich.Position{File: "t", Line: int64(i + 1)}}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	all := make([]enriched, len(out.Outputs))
	for i, o := range out.Outputs {
		if err := json.Unmarshal(o.Value, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

const t0 = 1_760_000_000

func TestJoin(t *testing.T) {
	chain := []string{
		listed("h", "added", t0, 1, 0, t0-9000, "/sbin/init"),
		exec("h", t0, 100, 1, "/usr/sbin/sshd", "execve"),
		exec("h", t0+1, 101, 100, "/bin/bash", "execve"),
		exec("h", t0+2, 102, 101, "/bin/sh", "execve"),
		exec("h", t0+3, 103, 102, "/usr/bin/curl", "execve"),
	}
	with := func(rows ...string) []string { return append(chain[:len(chain):len(chain)], rows...) }
	for name, c := range map[string]struct {
		rows                        []string
		executable, ancestors, gaps string
	}{
		"four ancestors":          {with(connect("h", t0+3, 103, "/usr/bin/curl")), "/usr/bin/curl", "102 101 100 1", ""},
		"another host's pid":      {with(connect("g", t0+3, 103, "/usr/bin/curl")), "", "", "process_unknown"},
		"before the start":        {with(connect("h", t0+2, 103, "/usr/bin/curl")), "", "", "process_unknown"},
		"a path that contradicts": {with(connect("h", t0+4, 103, "/usr/bin/wget")), "", "", "process_mismatch"},
		"no path in the event":    {with(connect("h", t0+4, 103, "")), "/usr/bin/curl", "102 101 100 1", ""},
		"a later process, same pid": {
			with(exec("h", t0+10, 103, 101, "/usr/bin/wget", "execve"), connect("h", t0+5, 103, "/usr/bin/curl")), "/usr/bin/curl", "102 101 100 1", "",
		},
		"two in one second, told apart by path": {
			with(exec("h", t0+3, 103, 102, "/usr/bin/wget", "execve"), connect("h", t0+3, 103, "/usr/bin/curl")), "/usr/bin/curl", "102 101 100 1", "",
		},
		"a killer's row makes no process": {
			with(exec("h", t0+20, 777, 101, "/bin/kill", "kill"), connect("h", t0+21, 777, "")), "", "", "process_unknown",
		},
		"a parent that was not seen": {
			with(exec("h", t0+20, 200, 199, "/bin/ls", "execve"), connect("h", t0+21, 200, "/bin/ls")), "/bin/ls", "", "parent_unknown",
		},
		"a removed inventory row ends nothing early": {
			with(listed("h", "removed", t0+5, 103, 102, t0+3, "/usr/bin/curl"), connect("h", t0+4, 103, "/usr/bin/curl")), "/usr/bin/curl", "102 101 100 1", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := run(t, process.New(process.Config{}, state.NewMemory()), c.rows...)
			last := all[len(all)-1]
			if got := last.Enrichment.Process.Executable; c.gaps == "" && got != c.executable {
				t.Errorf("executable %q, want %q", got, c.executable)
			}
			if last.ancestors() != c.ancestors || last.gaps() != c.gaps {
				t.Errorf("ancestors %q gaps %q, want %q and %q", last.ancestors(), last.gaps(), c.ancestors, c.gaps)
			}
		})
	}
}

func TestProcessesRowAndExecRowOfOneStartAreOneVersion(t *testing.T) {
	for name, rows := range map[string][]string{
		"exec first": {exec("h", t0, 9, 1, "/bin/a", "execve"), listed("h", "added", t0+60, 9, 1, t0-1, "/bin/a")},
		"list first": {listed("h", "added", t0+60, 9, 1, t0+2, "/bin/a"), exec("h", t0, 9, 1, "/bin/a", "execve")},
	} {
		all := run(t, process.New(process.Config{}, state.NewMemory()), append(rows, connect("h", t0+5, 9, "/bin/a"))...)
		execRow := all[0]
		if name == "list first" {
			execRow = all[1]
		}
		if got, want := all[2].Enrichment.Process.EntityID, execRow.Enrichment.Process.EntityID; got != want || got == "" {
			t.Errorf("%s: the socket's process is %q, the exec row's %q", name, got, want)
		}
	}
}

func TestForkRowsAreInferred(t *testing.T) {
	all := run(t, process.New(process.Config{}, state.NewMemory()), exec("h", t0, 9, 1, "/bin/a", "clone"))
	if !all[0].Enrichment.Process.Inferred {
		t.Error("a clone row's process is not marked inferred")
	}
}

// In whatever order rows come, one of `processes` stands for the nearest start.
func TestAListedProcessIsTheNearestExecInAnyOrder(t *testing.T) {
	near, far := exec("h", t0+4, 9, 1, "/bin/a", "execve"), exec("h", t0+3, 9, 1, "/bin/a", "execve")
	list := listed("h", "added", t0+9, 9, 1, t0+5, "/bin/a")
	for _, rows := range [][]string{{near, far, list}, {far, list, near}, {list, far, near}, {list, near, far}} {
		op := process.New(process.Config{}, state.NewMemory())
		run(t, op, rows...)
		ids := map[string]string{}
		for i, answer := range run(t, op, rows...) {
			ids[rows[i]] = answer.Enrichment.Process.EntityID
		}
		if ids[list] != ids[near] || ids[near] == ids[far] {
			t.Errorf("listed %s, nearest %s, other %s", ids[list], ids[near], ids[far])
		}
	}
}

// An aborted transaction hands the same rows in again: the answers must be the
// same, however often a row is taken.
func TestTakingRowsAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "rows")
		rows := make([]string, n)
		for i := range rows {
			at := t0 + rapid.IntRange(0, 5).Draw(t, "at")
			pid, parent := rapid.IntRange(1, 6).Draw(t, "pid"), rapid.IntRange(0, 6).Draw(t, "parent")
			path := rapid.SampledFrom([]string{"/bin/a", "/bin/b"}).Draw(t, "path")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				rows[i] = connect("h", at, pid, path)
			case 1:
				rows[i] = listed("h", rapid.SampledFrom([]string{"added", "removed"}).Draw(t, "action"), at, pid, parent, at, path)
			default:
				rows[i] = exec("h", at, pid, parent, path, "execve")
			}
		}
		op := process.New(process.Config{}, state.NewMemory())
		run(t, op, rows...)
		once := run(t, op, rows...)
		again := run(t, op, rows...)
		for i := range once {
			if fmt.Sprint(once[i]) != fmt.Sprint(again[i]) {
				t.Fatalf("row %d: %v, and taken again %v", i, once[i], again[i])
			}
		}
	})
}

func TestTheCapEvictsTheOldestAndCounts(t *testing.T) {
	op := process.New(process.Config{MaxPerHost: 16}, state.NewMemory())
	var rows []string
	for i := range 40 {
		rows = append(rows, exec("h", t0+i, 100+i, 0, "/bin/a", "execve"))
	}
	rows = append(rows, connect("h", t0+50, 139, ""), connect("h", t0+50, 100, ""))
	all := run(t, op, rows...)
	if all[40].gaps() != "" || all[41].gaps() != "process_evicted" {
		t.Errorf("newest: gaps %q; oldest: gaps %q", all[40].gaps(), all[41].gaps())
	}
	if op.Evicted() < 24 {
		t.Errorf("%d evictions counted, want at least 24", op.Evicted())
	}
}

func TestAProcessIsForgottenAfterItsLife(t *testing.T) {
	op := process.New(process.Config{}, state.NewMemory())
	all := run(t, op,
		exec("h", t0, 5, 0, "/bin/old", "execve"), exec("h", t0+8*86400, 6, 0, "/bin/new", "execve"),
		connect("h", t0+8*86400, 5, ""))
	if all[2].gaps() != "process_unknown" {
		t.Errorf("gaps %q after eight days, want process_unknown", all[2].gaps())
	}
}
