//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// What osqueryd does to a logger, clause by clause, with the whole program. The
// clauses that need no process are tested in internal/extension.

// mustExit checks that an answer would have ended osqueryd.
func mustExit(t *testing.T, err error) {
	t.Helper()
	var exit *osqueryd.ExitError
	if !errors.As(err, &exit) || exit.Code != 78 {
		t.Fatalf("got %v, want osqueryd's exit 78", err)
	}
}

// eventually polls until a condition holds.
func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(60 * time.Second); !holds(); {
		if time.Now().After(limit) {
			s.t.Fatalf("waited in vain: %s\n%s", what, s.out)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// rows checks that the topic gets exactly these rows, in this order, however often
// each.
func rows(t *testing.T, brokers []string, want int) {
	t.Helper()
	next := 0
	seen := map[string]bool{}
	for _, r := range await(t, brokers, "osquery.results", want) {
		if seen[name(r)] {
			continue
		}
		seen[name(r)] = true
		if number(t, r) != fmt.Sprint(next) {
			t.Fatalf("row %s came where %d was due", number(t, r), next)
		}
		next++
	}
	if next != want {
		t.Fatalf("%d rows, want %d", next, want)
	}
}

func TestOneFailedPingDeregistersAndItComesBack(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd(func(c *osqueryd.Config) { c.PingTimeout, c.Interval = 3*time.Second, 50*time.Millisecond })
	log(t, d, row(0))
	if err := d.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.eventually("osqueryd drops what does not answer", func() bool { _, ok := d.UUID(); return !ok })
	mustExit(t, d.LogString(context.Background(), row(-1)))
	if err := d.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := d.Activate(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, s.out)
	}
	log(t, d, row(1))
	if _, starts := d.PID(); starts != 1 {
		t.Errorf("it was started %d times: it should have come back by itself", starts)
	}
	if !strings.Contains(s.out.String(), "had no route") {
		t.Errorf("the absence is not told:\n%s", s.out)
	}
	rows(t, broker.Addrs(), 2)
	s.shutdown(d)
}

// osqueryd refuses the name until it has found the old process dead.
func TestRefusedAsDuplicateUntilTheOldOneIsGone(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd(func(c *osqueryd.Config) { c.Interval, c.WatcherInterval = 5*time.Second, 10*time.Millisecond })
	log(t, d, row(0))
	old, _ := d.UUID()
	if err := d.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.eventually("the new process is refused", func() bool { return strings.Contains(s.out.String(), "Duplicate extension registered") })
	s.eventually("the new process is taken", func() bool { now, ok := d.UUID(); return ok && now != old })
	if err := d.Activate(context.Background()); err != nil {
		t.Fatal(err)
	}
	log(t, d, row(1))
	rows(t, broker.Addrs(), 2)
	s.shutdown(d)
}

// systemd sends SIGTERM to every process of the unit at once. osqueryd's own
// results and status lines go on until its shutdown; none of them is refused, and
// the extension ends well.
func TestSIGTERMToTheWholeGroup(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd(func(c *osqueryd.Config) { c.Extension.Respawn = false })
	var beside sync.WaitGroup
	for i := range 100 {
		if i == 20 {
			if err := d.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			beside.Go(func() {
				for range 20 {
					if a := d.LogStatus(context.Background(), osqueryd.StatusLine{Message: "stopping", Time: time.Now()}); a.Code != 0 {
						t.Errorf("a status call was answered %+v", a)
					}
				}
			})
		}
		log(t, d, row(i))
	}
	beside.Wait()
	s.shutdown(d)
	if state := d.ExtensionState(); state == nil || state.ExitCode() != 0 {
		t.Errorf("it ended with %v", state)
	}
	again := s.osqueryd()
	rows(t, broker.Addrs(), 100)
	await(t, broker.Addrs(), "osquery.status", 20)
	s.shutdown(again)
}

// The worker dies, the watcher starts another on the same socket; the extension,
// the watcher's child, lives on and is needed by the new worker.
func TestSurvivesARespawnedWorker(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	first := s.osqueryd(func(c *osqueryd.Config) { c.Extension.Respawn = false })
	worker := first
	const workers = 3
	for i := range workers {
		log(t, worker, row(2*i))
		worker.Kill()
		worker = s.osqueryd(func(c *osqueryd.Config) { c.Extension = nil })
		log(t, worker, row(2*i+1))
	}
	rows(t, broker.Addrs(), 2*workers)
	s.shutdown(worker)
	if err := first.WaitExtension(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state := first.ExtensionState(); state.ExitCode() != 0 {
		t.Errorf("it ended with %v", state)
	}
}

// started is logger-ext run by hand.
type started struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start runs logger-ext with osqueryd's arguments. It ends with the test.
func (s *site) start(socket string) *started {
	s.t.Helper()
	cmd := exec.Command(os.Args[0], "--socket", socket, "--timeout", "3", "--interval", "1", "--config", s.config)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &started{cmd, make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// osqueryd waits three seconds for a logger by default. The best of three tries is
// judged, for the machine that tests may be busy; a wait of the program's own would
// be in each.
func TestRegistersWithinASecondOfALateSocket(t *testing.T) {
	s := newSite(t, yaml("127.0.0.1:1")) // nobody is there: registration needs no broker
	socket := filepath.Join(s.dir, "o.sock")
	s.start(socket)
	const late = 3 * time.Second
	best := time.Hour
	for range 3 {
		time.Sleep(late) // what is tested: a socket that comes this late
		began := time.Now()
		d := s.osqueryd(func(c *osqueryd.Config) { c.Extension = nil })
		best = min(best, time.Since(began))
		log(t, d, row(0))
		d.Kill()
		if best < time.Second {
			return
		}
	}
	t.Errorf("registered %v after the socket answered, at best", best)
}
