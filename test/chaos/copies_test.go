//go:build chaos || e2e

package chaos

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// logSome logs calls numbered from..to-1 of three rows each.
func logSome(t *testing.T, h *loggertest.Host, from, to int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(from), 1))
	for call := from; call < to; call++ {
		must(t, h.LogString(t.Context(), line(call, 3, 20, rng)))
	}
}

// everyRow waits until rows of calls 0..calls-1 are there.
func everyRow(t *testing.T, addr string, calls int) []*kgo.Record {
	t.Helper()
	l := &ledger{}
	for range calls {
		l.note(3, nil)
	}
	return l.await(t, addr)
}

// collide fails when one name bears different bytes, or one row's two names are not
// what a copy explains: the same row may only be there twice under one name.
func collide(t *testing.T, records []*kgo.Record) {
	t.Helper()
	first, names := map[string]*kgo.Record{}, map[spot]string{}
	for _, r := range records {
		if earlier, again := first[name(r)]; again {
			if difference := differ(earlier, r); difference != "" {
				t.Fatalf("%s names two different records:\n%s", name(r), difference)
			}
			continue
		}
		first[name(r)] = r
		if !isRow(r) {
			continue
		}
		at := spotOf(t, r)
		if other, known := names[at]; known {
			t.Fatalf("row %v has the names %s and %s", at, other, name(r))
		}
		names[at] = name(r)
	}
}

func copySpool(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
}

// A golden image, or a cloned machine: two hosts run on one spool with unsent calls
// in it. What both have is repeated under equal names; what each adds is its own.
func TestASpoolCopiedToTwoHostsNamesNoTwoRowsAlike(t *testing.T) {
	broker := newShakyBroker(t)
	original := newHost(t, broker.addr())
	start(t, original)
	logSome(t, original, 0, 10)
	everyRow(t, broker.addr(), 10)
	broker.setAway(true)
	logSome(t, original, 10, 20) // these are in both
	stop(t, original)
	twin := newHost(t, broker.addr())
	copySpool(t, original.Spool(), twin.Spool())
	broker.setAway(false)
	start(t, original)
	start(t, twin)
	for i := range 10 {
		logSome(t, original, 20+2*i, 21+2*i)
		logSome(t, twin, 21+2*i, 22+2*i)
	}
	collide(t, everyRow(t, broker.addr(), 40))
}

// A backup or a snapshot brought back: the spool forgets what it had given names
// to, and gives none of them again.
func TestASpoolRolledBackNamesNoTwoRowsAlike(t *testing.T) {
	broker := newShakyBroker(t)
	h := newHost(t, broker.addr())
	start(t, h)
	logSome(t, h, 0, 10)
	everyRow(t, broker.addr(), 10)
	broker.setAway(true)
	logSome(t, h, 10, 20)
	stop(t, h)
	backup := filepath.Join(t.TempDir(), "backup")
	copySpool(t, h.Spool(), backup)
	broker.setAway(false)
	start(t, h)
	logSome(t, h, 20, 30)
	everyRow(t, broker.addr(), 30)
	stop(t, h)
	copySpool(t, backup, h.Spool())
	start(t, h)
	logSome(t, h, 30, 40)
	collide(t, everyRow(t, broker.addr(), 40))
}

// The same on another machine, told by its machine id: the copy is an agent of its
// own, and its rows are named by it.
func TestASpoolOnAnotherMachineIsAnotherAgent(t *testing.T) {
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skipf("another machine id needs a mount namespace of one's own: %v", err)
	}
	if _, err := os.Stat("/etc/machine-id"); err != nil {
		t.Skipf("this machine has no machine id: %v", err)
	}
	broker := newShakyBroker(t)
	original := newHost(t, broker.addr())
	start(t, original)
	logSome(t, original, 0, 10)
	everyRow(t, broker.addr(), 10)
	stop(t, original)

	dir := t.TempDir()
	id, wrapper := filepath.Join(dir, "machine-id"), filepath.Join(dir, "on-another-machine")
	must(t, os.WriteFile(id, []byte("00112233445566778899aabbccddeeff\n"), 0o600))
	script := "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind " + id + " /etc/machine-id && exec " + program + " \"$@\"' logger-ext \"$@\"\n"
	must(t, os.WriteFile(wrapper, []byte(script), 0o700))
	twin := newHostOf(t, wrapper, broker.addr())
	copySpool(t, original.Spool(), twin.Spool())
	start(t, original)
	start(t, twin)
	logSome(t, original, 10, 20)
	logSome(t, twin, 20, 30)
	records := everyRow(t, broker.addr(), 30)
	collide(t, records)
	agents := map[string]int{}
	for _, r := range records {
		agents[header(r, "agent")]++
	}
	if len(agents) != 2 {
		t.Errorf("two machines, but rows by agent are %v", agents)
	}
}
