//go:build chaos || e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	osquery "github.com/osquery/osquery-go"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// A systemd unit of osqueryd often has CPUQuota=20%, and logger-ext lives in it.
const (
	quotaPercent = 20
	quotaPeriod  = 100 * time.Millisecond
)

// throttle holds a process to a fifth of one CPU until the test ends: by a cgroup
// where those are ours to make, else by stopping and continuing it.
func throttle(t *testing.T, pid int) {
	t.Helper()
	dir, err := throttledGroup(t, pid)
	if err == nil {
		t.Logf("throttled by %s", dir)
		return
	}
	t.Logf("throttled by SIGSTOP and SIGCONT: no cgroup is ours to make: %v", err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		share := quotaPeriod * quotaPercent / 100
		for syscall.Kill(pid, syscall.SIGCONT) == nil && pause(ctx, share) && syscall.Kill(pid, syscall.SIGSTOP) == nil && pause(ctx, quotaPeriod-share) {
		}
		_ = syscall.Kill(pid, syscall.SIGCONT)
	})
	t.Cleanup(func() { cancel(); done.Wait() })
}

// throttledGroup makes a cgroup, of version 2 or 1, for the process.
func throttledGroup(t *testing.T, pid int) (dir string, err error) {
	t.Helper()
	period := quotaPeriod.Microseconds()
	quota := period * quotaPercent / 100
	root, limits := "/sys/fs/cgroup", []string{"cpu.max", fmt.Sprintf("%d %d", quota, period)}
	if controllers, err := os.ReadFile(root + "/cgroup.controllers"); err != nil || !slices.Contains(strings.Fields(string(controllers)), "cpu") {
		root, limits = "/sys/fs/cgroup/cpu", []string{"cpu.cfs_period_us", strconv.FormatInt(period, 10), "cpu.cfs_quota_us", strconv.FormatInt(quota, 10)}
	}
	if dir, err = os.MkdirTemp(root, "stackjoin-"); err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // the process may have left, or not
	for ; len(limits) > 0; limits = limits[2:] {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, limits[0]), []byte(limits[1]), 0o600))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
	}
	return dir, err
}

// timings are of what went on side by side for a while.
type timings struct{ calls, pings []time.Duration }

func (x *timings) String() string {
	return fmt.Sprintf("%d calls: median %v, p99 %v, longest %v; %d pings: longest %v",
		len(x.calls), at(x.calls, 50), at(x.calls, 99), at(x.calls, 100), len(x.pings), at(x.pings, 100))
}

// at is a percentile of sorted times.
func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)-1)*percent/100]
}

// watch logs ten calls a second, and pings five times a second on connections of
// their own, as osqueryd does.
func watch(t *testing.T, h *loggertest.Host, socket string, length time.Duration) *timings {
	t.Helper()
	x := &timings{}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var pinging sync.WaitGroup
	pinging.Go(func() {
		for pause(ctx, 200*time.Millisecond) {
			began := time.Now()
			if err := ping(socket); err != nil {
				t.Errorf("ping: %v", err)
			}
			x.pings = append(x.pings, time.Since(began))
		}
	})
	text := loggertest.NewRows(2).Call(20)
	for pause(ctx, 100*time.Millisecond) {
		began := time.Now()
		must(t, h.LogString(t.Context(), text))
		x.calls = append(x.calls, time.Since(began))
	}
	pinging.Wait()
	slices.Sort(x.calls)
	slices.Sort(x.pings)
	return x
}

func ping(socket string) error {
	c, err := osquery.NewClient(socket, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Ping()
	return err
}

// With a fifth of a CPU and a large spool to drain, osqueryd notices nothing: pings
// are answered at once, and calls as fast as without the draining.
func TestASmallQuotaStarvesShippingNotOsqueryd(t *testing.T) {
	broker := newShakyBroker(t)
	h := newHost(t, broker.addr())
	start(t, h)
	broker.setAway(true)
	text := loggertest.NewRows(1).Call(2_000)
	for size := 0; size < quotaBytes; size += len(text) {
		must(t, h.LogString(t.Context(), text))
	}
	pid, _ := h.PID()
	throttle(t, pid)
	uuid, _ := h.UUID()
	socket := fmt.Sprintf("%s.%d", h.Socket(), uuid)
	waiting := watch(t, h, socket, 10*time.Second)
	broker.setAway(false)
	before := sent(t, broker)
	draining := watch(t, h, socket, 20*time.Second)
	rows := sent(t, broker) - before
	t.Logf("broker away: %v", waiting)
	t.Logf("draining:    %v; %d rows drained", draining, rows)
	if rows == 0 {
		t.Error("nothing was drained: this run shows nothing")
	}
	if longest := at(draining.pings, 100); longest > pingLimit {
		t.Errorf("a ping took %v while draining", longest)
	}
	if slow, base := at(draining.calls, 50), at(waiting.calls, 50); slow > 3*base+100*time.Millisecond {
		t.Errorf("a call takes %v while draining, %v without", slow, base)
	}
}

// sent is the number of records on the results topic.
func sent(t *testing.T, b *shakyBroker) int64 {
	t.Helper()
	info := b.PartitionInfo("osquery.results", 0)
	if info == nil {
		t.Fatal("no results topic")
	}
	return info.HighWatermark
}
