//go:build osqueryd && linux

// Package osqueryd runs logger-ext under the real osqueryd, where there is one on
// the PATH. The driver in internal/osqueryd must never be kinder than what is seen
// here.
package osqueryd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

const (
	patience = 3 * time.Minute
	// refused is how osqueryd ends when a result was not logged.
	refused = 78
)

// schedule has a query whose every run is a change, a snapshot and an event table.
const schedule = `{
  "schedule": {
    "clock": {"query": "SELECT unix_time FROM time", "interval": 1},
    "uptime": {"query": "SELECT total_seconds FROM uptime", "interval": 2, "snapshot": true},
    "files": {"query": "SELECT eid, target_path, action, time FROM file_events", "interval": 2, "removed": false}
  },
  "file_paths": {"watched": ["%s/%%%%"]}
}`

// host is a folder in which osqueryd runs, and its broker.
type host struct {
	t      *testing.T
	dir    string
	broker *kafkatest.FakeBroker
	daemon *exec.Cmd
	ended  chan struct{}
	// unlogged counts the ends of osqueryd at which one run's rows may have been
	// computed but not answered OK.
	unlogged int
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "oq") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: dir, broker: kafkatest.Fake(t, kfake.SeedTopics(1, "osquery.results", "osquery.status", "osquery.deadletter"))}
	t.Cleanup(h.clean)
	out, err := exec.Command("go", "build", "-o", h.path("logger-ext.ext"), "github.com/stackjoin/stackjoin/cmd/logger-ext").CombinedOutput()
	if err != nil {
		t.Fatalf("build logger-ext: %v\n%s", err, out)
	}
	if err := os.Mkdir(h.path("watched"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"extensions.load": h.path("logger-ext.ext") + "\n",
		"osquery.conf":    fmt.Sprintf(schedule, h.path("watched")),
		"logger-ext.yaml": "kafka: {brokers: [" + h.broker.Addrs()[0] + "]}\nspool: {dir: " + h.path("spool") + ", min_free: 0}\n",
	} {
		if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// start starts osqueryd on the folder's database, in a process group of its own.
func (h *host) start() {
	h.t.Helper()
	h.daemon = exec.Command("osqueryd",
		"--config_path="+h.path("osquery.conf"), "--database_path="+h.path("db"), "--pidfile="+h.path("pid"),
		"--extensions_socket="+h.path("em"), "--extensions_autoload="+h.path("extensions.load"), "--extensions_require=stackjoin",
		"--extensions_timeout=20", "--extensions_interval=1", "--logger_plugin=stackjoin", "--allow_unsafe", "--force",
		"--disable_events=false", "--enable_file_events=true", "--schedule_splay_percent=0", "--watchdog_level=-1",
		"--host_identifier=specified", "--specified_identifier=test-host")
	h.daemon.Env = append(os.Environ(), "LOGGER_EXT_CONFIG="+h.path("logger-ext.yaml"))
	h.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.OpenFile(h.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.daemon.Stdout, h.daemon.Stderr = log, log
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended, daemon := make(chan struct{}), h.daemon
	h.ended = ended
	go func() {
		defer close(ended)
		_ = daemon.Wait()
	}()
}

// keepUp starts osqueryd again when it has ended for want of a logger, as its
// service manager would. No other end is allowed.
func (h *host) keepUp() {
	h.t.Helper()
	select {
	case <-h.ended:
		if code := h.daemon.ProcessState.ExitCode(); code != refused {
			h.fatal("osqueryd ended by itself with %v", h.daemon.ProcessState)
		}
		h.unlogged++
		h.start()
	default:
	}
}

// processes lists the running processes whose program has this path.
func processes(program string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == program {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killExtension ends logger-ext with kill -9.
func (h *host) killExtension() {
	h.t.Helper()
	pids := processes(h.path("logger-ext.ext"))
	if len(pids) == 0 {
		h.fatal("no logger-ext runs")
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// killOsqueryd ends the watcher and its worker with kill -9, and leaves logger-ext.
func (h *host) killOsqueryd() {
	h.t.Helper()
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.daemon.Process.Pid))
	if err != nil {
		h.fatal("osqueryd's program: %v", err)
	}
	h.unlogged++
	_ = h.daemon.Process.Kill() // the watcher first: it would start another worker
	for _, pid := range processes(program) {
		if group, err := syscall.Getpgid(pid); err == nil && group == h.daemon.Process.Pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	<-h.ended
}

// stop sends SIGTERM to the whole group, as systemd does, and waits for all of it.
func (h *host) stop() {
	h.t.Helper()
	_ = syscall.Kill(-h.daemon.Process.Pid, syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.fatal("osqueryd does not end")
	}
	if code := h.daemon.ProcessState.ExitCode(); code != 0 && code != refused && !killed(h.daemon.ProcessState) {
		h.fatal("after SIGTERM osqueryd ended with %v", h.daemon.ProcessState)
	}
	h.until("logger-ext leaves with osqueryd", func() bool { return len(processes(h.path("logger-ext.ext"))) == 0 })
}

// killed tells whether a process ended by the SIGTERM that was sent to it.
func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGTERM
}

// until polls until a condition holds.
func (h *host) until(what string, holds func() bool) {
	h.t.Helper()
	for limit := time.Now().Add(patience); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(limit) {
			h.fatal("waited in vain: %s", what)
		}
	}
}

// fatal ends the test and shows what osqueryd and logger-ext said.
func (h *host) fatal(format string, args ...any) {
	h.t.Helper()
	text, _ := os.ReadFile(h.path("log"))
	h.t.Fatalf(format+"\n%s", append(args, text[max(0, len(text)-8<<10):])...)
}

// clean ends what is left of this test's processes.
func (h *host) clean() {
	if h.daemon != nil {
		_ = syscall.Kill(-h.daemon.Process.Pid, syscall.SIGKILL)
		<-h.ended
	}
	for _, pid := range processes(h.path("logger-ext.ext")) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = os.RemoveAll(h.dir)
}

// record is what is looked at of a row.
type record struct {
	Name    string `json:"name"`
	Action  string `json:"action"`
	Counter int    `json:"counter"`
	Columns struct {
		TargetPath string `json:"target_path"`
	} `json:"columns"`
}

// records reads the results topic, each name once; two rows under one name are an
// error.
func (h *host) records() []record {
	h.t.Helper()
	var list []record
	seen := map[string]string{}
	for _, r := range kafkatest.Read(h.t, h.broker.Addrs(), "osquery.results") {
		name := nameOf(r)
		if before, ok := seen[name]; ok {
			if before != string(r.Value) {
				h.fatal("%s names\n%s\nand\n%s", name, before, r.Value)
			}
			continue
		}
		seen[name] = string(r.Value)
		var one record
		if err := json.Unmarshal(r.Value, &one); err != nil {
			h.fatal("row %s: %v", r.Value, err)
		}
		list = append(list, one)
	}
	return list
}

func nameOf(r *kgo.Record) string {
	var parts []string
	for _, header := range r.Headers {
		switch header.Key {
		case "agent", "run", "seq", "row":
			parts = append(parts, header.Key+"="+string(header.Value))
		}
	}
	return strings.Join(parts, " ")
}

// lastRun is the highest counter of the query clock on the topic, -1 without one.
func (h *host) lastRun() int {
	last := -1
	for _, r := range h.records() {
		if r.Name == "clock" {
			last = max(last, r.Counter)
		}
	}
	return last
}

// moreRuns waits until further runs of the query clock have arrived.
func (h *host) moreRuns() {
	h.t.Helper()
	before := h.lastRun()
	h.until("more rows", func() bool {
		h.keepUp()
		return h.lastRun() >= before+3
	})
}

// seesFiles makes files and waits for a row of the event table for each.
func (h *host) seesFiles() {
	h.t.Helper()
	missing := map[string]bool{}
	h.until("rows of the event table", func() bool {
		h.keepUp()
		// The watch begins some time after osqueryd does, so files are made until
		// one of them is seen.
		path := h.path("watched/" + strconv.Itoa(len(missing)))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			h.fatal("make a file: %v", err)
		}
		missing[path] = true
		for _, r := range h.records() {
			if r.Name == "files" && missing[r.Columns.TargetPath] {
				return true
			}
		}
		return false
	})
}

// nothingIsMissing looks for runs of the query clock that are not on the topic.
// osqueryd counts the runs that it logs, and keeps the count in its database, so
// one that was answered OK and is missing leaves a hole. A run that was under way
// when osqueryd ended, or refused, may be missing too.
func (h *host) nothingIsMissing() {
	h.t.Helper()
	arrived := map[string]bool{}
	last := 0
	for _, r := range h.records() {
		if r.Name == "clock" {
			arrived[r.Action+strconv.Itoa(r.Counter)] = true
			last = max(last, r.Counter)
		}
	}
	var holes []int
	for counter := 1; counter < last; counter++ { // of the last run a part may still be spooled
		if !arrived["added"+strconv.Itoa(counter)] || !arrived["removed"+strconv.Itoa(counter)] {
			holes = append(holes, counter)
		}
	}
	if len(holes) > h.unlogged {
		h.fatal("runs %v of %d are missing; %d can have been under way when osqueryd ended", holes, last, h.unlogged)
	}
	h.t.Logf("%d runs, %d missing, %d ends of osqueryd in the middle of things", last, len(holes), h.unlogged)
}

func TestUnderARealOsqueryd(t *testing.T) {
	if _, err := exec.LookPath("osqueryd"); err != nil {
		t.Skip("no osqueryd on the PATH")
	}
	h := newHost(t)
	h.start()
	h.moreRuns()
	h.seesFiles()
	h.until("a snapshot", func() bool {
		h.keepUp()
		for _, r := range h.records() {
			if r.Name == "uptime" && r.Action == "snapshot" {
				return true
			}
		}
		return false
	})
	for range 3 {
		h.killExtension()
		h.moreRuns()
	}
	for range 2 {
		h.killOsqueryd()
		h.start()
		h.moreRuns()
	}
	h.stop()
	h.start()
	h.moreRuns()
	h.stop()
	h.nothingIsMissing()
}
