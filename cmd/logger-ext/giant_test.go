//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// osqueryd bounds no call. thrift's own limit, 100 MiB, would be its end.
func TestCallsOf101And512MiB(t *testing.T) {
	if raceEnabled {
		t.Skip("the detector looks at every byte of them; this runs without it")
	}
	for _, size := range []int{101 << 20, 512 << 20} {
		t.Run(strconv.Itoa(size>>20), func(t *testing.T) { giantCall(t, size) })
	}
}

func giantCall(t *testing.T, size int) {
	broker := fake(t)
	// At 5 % of a core what a giant costs on a slow machine is a minute's budget.
	s := newSite(t, yaml(broker.Addrs()[0])+"shipping: {max_cpu: 0}\n")
	d := s.osqueryd()
	pid, _ := d.PID()
	before := peakMemory(t, pid)
	log(t, d, row(0))
	line := osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}.Snapshot([]osqueryd.Row{{"text": "TEXT"}})
	line = strings.Replace(line, "TEXT", strings.Repeat("0123456789abcdef", size/16), 1)
	began := time.Now()
	if err := d.LogSnapshot(context.Background(), line); err != nil {
		t.Fatalf("%v\n%s", err, s.out)
	}
	took := time.Since(began)
	log(t, d, row(1))
	rows(t, broker.Addrs(), 2)
	dead := await(t, broker.Addrs(), "osquery.deadletter", 1)
	if header(dead[0], "agent") == "" || !strings.Contains(string(dead[0].Value), `"sha256"`) {
		t.Errorf("the dead letter is %.300s", dead[0].Value)
	}
	t.Logf("%d MiB taken in %v; peak memory %d MiB, %d MiB before", size>>20, took.Round(time.Millisecond), peakMemory(t, pid)>>20, before>>20)
	if _, starts := d.PID(); starts != 1 {
		t.Errorf("it was started %d times", starts)
	}
	s.shutdown(d)
}

// peakMemory is a process's largest resident size so far, in bytes; 0 where the
// operating system does not tell. What a parent reads after a child's end is no
// help: it counts what the parent held when it started the child.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	return 0
}
