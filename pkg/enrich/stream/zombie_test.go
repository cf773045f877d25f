//go:build unix

package stream_test

import (
	"syscall"
	"testing"
)

// A process that slept past its session wakes with records in work: what it then
// commits is refused, and its state is not believed by anybody.
func TestAZombieChangesNothing(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	const hosts, rows = 4, 90
	produce(t, cfg, hosts, 0, rows/3)
	first := start(t, c, t.TempDir())
	checkCounts(t, cfg, hosts, rows/3)
	produce(t, cfg, hosts, rows/3, rows/3+10)
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start(t, c, t.TempDir())
	produce(t, cfg, hosts, rows/3+10, 2*rows/3)
	checkCounts(t, cfg, hosts, 2*rows/3)
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	produce(t, cfg, hosts, 2*rows/3, rows)
	checkCounts(t, cfg, hosts, rows)
}
