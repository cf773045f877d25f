//go:build osqueryd && linux

// Package osqueryd runs logger-ext under the real osqueryd, where there is one on
// the PATH. The driver in internal/osqueryd must never be kinder than what is seen
// here.
package osqueryd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
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
	if _, err := loggertest.Build(t.Context(), h.dir); err != nil {
		t.Fatal(err)
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
