//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// nobody is a user that owns nothing.
const nobody = 65534

// bystander is a process that starts extensions although it is not the osqueryd
// that logs: osqueryi, osqueryd --config_check. A shell is the parent, and lives
// until its standard input ends.
type bystander struct {
	t     *testing.T
	shell *exec.Cmd
	stdin io.Closer
	// left ends with the last process that holds the extension's output.
	left *os.File
	said *output
	done chan struct{}
}

// bystand starts one on a manager socket, as another user when uid is not 0.
func (s *site) bystand(program, socket string, uid uint32) *bystander {
	s.t.Helper()
	b := &bystander{t: s.t, said: &output{}, done: make(chan struct{})}
	b.shell = exec.Command("/bin/sh", "-c", `"$@" & cat`, "sh", program, "--socket", socket, "--timeout", "3", "--interval", "1", "--config", s.config)
	b.shell.Env = append(os.Environ(), asProgram+"=1")
	if uid != 0 {
		b.shell.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	stdin, err := b.shell.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	left, write, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	b.stdin, b.left = stdin, left
	b.shell.Stdout, b.shell.Stderr = write, write
	if err := b.shell.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = write.Close()
	go func() {
		defer close(b.done)
		_, _ = io.Copy(b.said, left)
	}()
	s.t.Cleanup(b.end)
	return b
}

// saysWhy waits until it has told that it idles.
func (b *bystander) saysWhy(words string) {
	b.t.Helper()
	for limit := time.Now().Add(60 * time.Second); !strings.Contains(b.said.String(), words); {
		if time.Now().After(limit) {
			b.t.Fatalf("it does not say %q:\n%s", words, b.said)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end ends the parent; the extension must leave with it.
func (b *bystander) end() {
	b.t.Helper()
	_ = b.stdin.Close()
	_ = b.shell.Wait()
	select {
	case <-b.done:
	case <-time.After(60 * time.Second):
		b.t.Errorf("the extension stays behind:\n%s", b.said)
		_ = b.left.Close()
		<-b.done
	}
	if strings.Contains(b.said.String(), "registered with osqueryd") {
		b.t.Errorf("it registered:\n%s", b.said)
	}
}

// keeps checks that rows still go to the extension that had them.
func keeps(t *testing.T, d *osqueryd.Daemon, uuid int64) {
	t.Helper()
	for i := range 10 {
		log(t, d, row(i))
	}
	if now, ok := d.UUID(); !ok || now != uuid {
		t.Errorf("osqueryd routes to %d, before to %d", now, uuid)
	}
}

// osqueryi loads the extensions that the daemon loads, and with the daemon's own
// socket: registering would take the daemon's rows.
func TestOsqueryiAsRootIdles(t *testing.T) {
	s := newSite(t, yaml("127.0.0.1:1"))
	d := s.osqueryd()
	uuid, _ := d.UUID()
	b := s.bystand(os.Args[0], filepath.Join(s.dir, "o.sock"), 0)
	b.saysWhy("another process has the spool")
	keeps(t, d, uuid)
	b.end()
	keeps(t, d, uuid)
	s.shutdown(d)
}

// A user's osqueryi may neither open the spool nor the daemon's socket.
func TestOsqueryiAsAUserIdles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	s := newSite(t, yaml("127.0.0.1:1"))
	program := s.forEverybody()
	d := s.osqueryd()
	uuid, _ := d.UUID()
	b := s.bystand(program, filepath.Join(s.dir, "o.sock"), nobody)
	b.saysWhy("does not own the spool")
	keeps(t, d, uuid)
	s.shutdown(d)
	if strings.Contains(b.said.String(), "level=ERROR") {
		t.Errorf("it idles loudly:\n%s", b.said)
	}
	// The lock is free now, but the spool is still not this user's.
	again := s.osqueryd()
	log(t, again, row(0))
	b.end()
	s.shutdown(again)
}

// forEverybody makes the program and the configuration readable for all users, as
// an installed package has them.
func (s *site) forEverybody() (program string) {
	s.t.Helper()
	program = filepath.Join(s.dir, "logger-ext.ext")
	text, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, text, 0o755)
	}
	for path, mode := range map[string]os.FileMode{s.dir: 0o755, s.config: 0o644, program: 0o755} {
		if err == nil {
			err = os.Chmod(path, mode)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return program
}

// osqueryd --config_check has a socket of its own for a moment.
func TestConfigCheckIdlesAndLeaves(t *testing.T) {
	s := newSite(t, yaml("127.0.0.1:1"))
	d := s.osqueryd()
	uuid, _ := d.UUID()
	check, err := osqueryd.Start(osqueryd.Config{Socket: filepath.Join(s.dir, "c.sock"), Logger: "stackjoin"})
	if err != nil {
		t.Fatal(err)
	}
	b := s.bystand(os.Args[0], filepath.Join(s.dir, "c.sock"), 0)
	b.saysWhy("another process has the spool")
	if _, ok := check.UUID(); ok {
		t.Error("it registered with the check")
	}
	if err := check.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.end()
	keeps(t, d, uuid)
	s.shutdown(d)
}

// With a spool of its own, a second osqueryd has a logger like any other.
func TestASecondOsquerydWithItsOwnSpoolRegisters(t *testing.T) {
	broker := fake(t)
	one, two := newSite(t, yaml(broker.Addrs()[0])), newSite(t, yaml(broker.Addrs()[0]))
	first, second := one.osqueryd(), two.osqueryd()
	for i := range 10 {
		log(t, first, row(i))
		log(t, second, row(i))
	}
	agents := map[string]int{}
	seen := map[string]bool{}
	for _, r := range await(t, broker.Addrs(), "osquery.results", 20) {
		if !seen[name(r)] {
			seen[name(r)] = true
			agents[header(r, "agent")]++
		}
	}
	if len(agents) != 2 {
		t.Errorf("rows by agent: %v", agents)
	}
	one.shutdown(first)
	two.shutdown(second)
}

// An extension that outlived its osqueryd has the lock until it falls; the next
// one waits for it and then takes over.
func TestTakesOverWhenAnOrphansLockFalls(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	orphaned := s.osqueryd()
	log(t, orphaned, row(0))
	if err := orphaned.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	orphaned.Kill()
	t.Cleanup(func() { _ = orphaned.Signal(syscall.SIGKILL) })
	next, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(s.dir, "o.sock"), Logger: "stackjoin", Timeout: 30 * time.Second, WatcherInterval: 50 * time.Millisecond,
		Extension: &osqueryd.Extension{Path: os.Args[0], Args: []string{"--config", s.config}, Env: []string{asProgram + "=1"}, Output: s.out},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Kill)
	s.eventually("the next one idles", func() bool { return strings.Contains(s.out.String(), "another process has the spool") })
	var exit *osqueryd.ExitError
	if err := next.LogString(t.Context(), row(-1)); !errors.As(err, &exit) {
		t.Errorf("the next one registered beside the orphan: %v", err)
	}
	if err := orphaned.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := next.Activate(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, s.out)
	}
	log(t, next, row(1))
	rows(t, broker.Addrs(), 2)
	s.shutdown(next)
}

// An osqueryi of its own, with no daemon running, must not keep the spool from the
// daemon that starts later: it says itself that it logs nothing.
func TestOsqueryiWithoutADaemonLeavesTheSpoolAlone(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	shell, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(s.dir, "i.sock"), Logger: "stackjoin", DisableLogging: true,
		Extension: &osqueryd.Extension{Path: os.Args[0], Args: []string{"--config", s.config}, Env: []string{asProgram + "=1"}, Output: s.out},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shell.Kill)
	s.until("idle", func() bool { return s.says("--disable_logging") })
	if _, ok := shell.UUID(); ok {
		t.Error("it registered with osqueryi")
	}
	d := s.osqueryd()
	log(t, d, row(1))
	await(t, broker.Addrs(), "osquery.results", 1)
	s.shutdown(d)
}
