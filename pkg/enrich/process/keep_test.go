package process_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const hour = 3600

// told runs rows and returns what the last was told.
func told(t *testing.T, op *process.Operator, rows ...string) enriched {
	t.Helper()
	all := run(t, op, rows...)
	return all[len(all)-1]
}

func TestWhatIsOverOrUnseenBecomesThinAndIsForgotten(t *testing.T) {
	tree := []string{
		exec("h", t0, 10, 1, "/usr/sbin/sshd", "execve"), exec("h", t0+1, 11, 10, "/bin/bash", "execve"),
		exec("h", t0+2, 12, 11, "/usr/bin/curl", "execve"), exec("h", t0+2, 20, 1, "/usr/bin/leaf", "execve"),
	}
	tick := func(at int) string { return exec("h", at, 9000, 1, "/bin/tick", "execve") } // another process moves the clock
	for name, c := range map[string]struct {
		rows               []string
		command, gaps, why string
	}{
		"seen within the hour": {[]string{tick(t0 + hour - 60), connect("h", t0+hour-50, 20, "")}, "/usr/bin/leaf -x", "parent_unknown", ""},
		"unseen for two hours": {[]string{tick(t0 + 2*hour), connect("h", t0+2*hour, 20, "")}, "", "parent_unknown process_thin", ""},
		"seen again and again": {[]string{
			connect("h", t0+3000, 20, ""), tick(t0 + 2*hour - 1500), connect("h", t0+2*hour-1490, 20, ""),
		}, "/usr/bin/leaf -x", "parent_unknown", ""},
		"unseen for eight hours": {[]string{tick(t0 + 8*hour), tick(t0 + 8*hour + 1), connect("h", t0+8*hour+1, 20, "")}, "", "process_unknown", ""},
		"a parent of what lives": {[]string{
			connect("h", t0+3000, 12, ""), tick(t0 + hour + 900), connect("h", t0+hour+910, 11, ""),
		}, "/bin/bash -x", "parent_unknown", ""},
		"listed, and unseen for a day": {[]string{
			listed("h", "added", t0+60, 20, 1, t0+2, "/usr/bin/leaf"), tick(t0 + 12*hour), tick(t0 + 24*hour), connect("h", t0+24*hour, 20, ""),
		}, "/usr/bin/leaf -x", "parent_unknown", ""},
		"listed, and gone for a day": {[]string{
			listed("h", "added", t0+60, 20, 1, t0+2, "/usr/bin/leaf"), listed("h", "removed", t0+120, 20, 1, t0+2, "/usr/bin/leaf"),
			tick(t0 + 12*hour), tick(t0 + 24*hour), connect("h", t0+24*hour, 20, ""),
		}, "", "process_unknown", ""},
		"a late event of what is over": {[]string{
			exec("h", t0+60, 20, 1, "/usr/bin/next", "execve"), tick(t0 + 2*hour), connect("h", t0+50, 20, "/usr/bin/leaf"),
		}, "", "parent_unknown process_thin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			last := told(t, process.New(process.Config{}, state.NewMemory()), append(tree[:len(tree):len(tree)], c.rows...)...)
			if got := last.Enrichment.Process.CommandLine; got != c.command || last.gaps() != c.gaps {
				t.Errorf("command line %q gaps %q, want %q and %q", got, last.gaps(), c.command, c.gaps)
			}
		})
	}
}

func TestThePartitionsCapTakesFromTheHostWithMost(t *testing.T) {
	kept := state.NewMemory()
	op := process.New(process.Config{MaxPerPartition: 64}, kept)
	rows := []string{exec("quiet", t0, 5, 0, "/bin/quiet", "execve")}
	for i := range 200 {
		rows = append(rows, exec("noisy", t0+i, 100+i, 0, "/bin/noisy", "execve"))
	}
	run(t, op, rows...)
	if op.Evicted() < 137 {
		t.Errorf("%d evictions counted", op.Evicted())
	}
	op = process.New(process.Config{MaxPerPartition: 64}, kept) // counts what it finds
	all := run(t, op, exec("third", t0, 7, 0, "/bin/third", "execve"), connect("quiet", t0+300, 5, ""), connect("noisy", t0+300, 100, ""), connect("noisy", t0+300, 299, ""))
	if all[1].gaps() != "" || all[2].gaps() != "process_evicted" || all[3].gaps() != "" {
		t.Errorf("quiet %q, noisy's first %q, noisy's last %q", all[1].gaps(), all[2].gaps(), all[3].gaps())
	}
}

// An operator holds few hosts decoded at a time, and answers for all.
func TestHostsThatAreNotCachedAreReadAgain(t *testing.T) {
	op := process.New(process.Config{MaxCached: 10}, state.NewMemory())
	var rows []string
	for i := range 50 {
		rows = append(rows, exec(fmt.Sprint("h", i), t0, 5, 0, fmt.Sprint("/bin/", i), "execve"))
	}
	run(t, op, rows...)
	for i := range 50 {
		if got := told(t, op, connect(fmt.Sprint("h", i), t0+1, 5, "")).Enrichment.Process.Executable; got != fmt.Sprint("/bin/", i) {
			t.Errorf("host %d: %q", i, got)
		}
	}
}

func TestEvictionIsForgottenWithTheTimeItIsAbout(t *testing.T) {
	op := process.New(process.Config{MaxPerHost: 8}, state.NewMemory())
	var rows []string
	for i := range 20 {
		rows = append(rows, exec("h", t0+i, 100+i, 0, "/bin/a", "execve"))
	}
	early := told(t, op, append(rows, connect("h", t0+30, 4000, ""))...)
	late := told(t, op, connect("h", t0+8*24*hour, 7, ""), connect("h", t0+8*24*hour, 4000, ""))
	if early.gaps() != "process_evicted" || late.gaps() != "process_unknown" {
		t.Errorf("at once %q, after eight days %q", early.gaps(), late.gaps())
	}
}

// broken is a State that fails.
type broken struct{ enrich.State }

func (broken) Scan(enrich.Host, []byte, func(k, v []byte) error) error {
	return fmt.Errorf("disk on fire at %s", time.Unix(0, 0).UTC())
}

func TestAFailingStateIsTheCallersToRetry(t *testing.T) {
	op := process.New(process.Config{}, broken{state.NewMemory()})
	e := newEvent(t, exec("h", t0, 5, 0, "/bin/a", "execve"))
	if err := op.OnEvent(e, nil); err == nil {
		t.Error("a host that could not be read was taken for an empty one")
	}
}

// `processes` computes starts from the uptime, so they drift with the clock: a daemon
// that is listed every hour with another start stays one process.
func TestAStartThatDriftsIsOneProcess(t *testing.T) {
	for name, first := range map[string]string{
		"listed alone":    listed("h", "added", t0+60, 20, 1, t0, "/usr/sbin/daemon"),
		"started in view": exec("h", t0, 20, 1, "/usr/sbin/daemon", "execve"),
	} {
		op := process.New(process.Config{}, state.NewMemory())
		id := told(t, op, first).Enrichment.Process.EntityID
		for i := range 48 {
			at := t0 + 120 + i*hour
			if got := told(t, op, listed("h", "added", at, 20, 1, t0+i, "/usr/sbin/daemon"), connect("h", at+10, 20, "")).Enrichment.Process.EntityID; got != id || id == "" {
				t.Fatalf("%s: after %d hours the process is %q, at first %q", name, i, got, id)
			}
		}
	}
}

// shown is row i of a snapshot of n rows of `processes`.
func shown(seq, i, n, at, pid int) string {
	return string(event.AppendDelivery([]byte(listed("h", "snapshot", at, pid, 1, t0, "/bin/a")), &event.Delivery{
		Agent: "h", Run: "00112233445566aa", Seq: uint64(seq), Row: i, Rows: n, Spooled: time.Unix(int64(at), 0),
	}))
}

// A snapshot's rows may come in several transactions: what it no longer shows is over
// all the same, once it is whole.
func TestASnapshotIsFollowedAcrossTransactions(t *testing.T) {
	rows := []string{
		shown(1, 0, 3, t0+60, 20), shown(1, 1, 3, t0+60, 21), shown(1, 2, 3, t0+60, 22),
		shown(2, 0, 2, t0+120, 20), shown(2, 0, 2, t0+120, 20), shown(2, 1, 2, t0+120, 22),
	}
	kept := state.NewMemory()
	for i, row := range rows {
		run(t, process.New(process.Config{}, kept), row)
		before := told(t, process.New(process.Config{}, kept), connect("h", t0+130, 21, ""))
		if gone := before.gaps() == "process_unknown"; i > 0 && gone != (i == len(rows)-1) {
			t.Errorf("after row %d: gone is %v", i, gone)
		}
	}
}
