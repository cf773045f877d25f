package extension_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

func TestConfigThatCanNotWork(t *testing.T) {
	accept := func(context.Context, extension.Call) error { return nil }
	for name, cfg := range map[string]extension.Config{
		"no socket":       {Accept: accept},
		"no accept":       {Socket: "em"},
		"too long a path": {Accept: accept, Socket: strings.Repeat("x", 300)},
	} {
		if err := extension.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: Run did not refuse", name)
		}
	}
}

func TestRegistersAsSoonAsTheSocketAnswers(t *testing.T) {
	socket := socketPath(t)
	r := run(t, socket, func(c *extension.Config) { c.Timeout = time.Nanosecond })
	// A file that nobody listens on, as a killed osqueryd leaves it.
	daemon(t, socket).Kill()
	if !r.isRunning() {
		t.Fatal("gave up while its parent lives")
	}
	d := daemon(t, socket)
	activate(t, d)
	if err := d.LogString(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestLeavesWithTheParentBeforeARegistration(t *testing.T) {
	r := run(t, socketPath(t), nil)
	r.parentDies()
	r.ends()
}

func TestStopBeforeARegistration(t *testing.T) {
	r := run(t, socketPath(t), nil)
	r.stop()
	r.ends()
}

// A second extension of the same name waits until the first is gone.
func TestDuplicateWaitsForItsTurn(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	first := run(t, socket, nil)
	activate(t, d)
	second := run(t, socket, nil)
	// Without a parent it still has an osqueryd.
	second.parentDies()
	if err := d.LogString(t.Context(), "to the first"); err != nil {
		t.Fatal(err)
	}
	if n := second.counters.Registrations.Load(); n != 0 {
		t.Fatalf("the duplicate registered %d times", n)
	}
	first.stop()
	first.ends()
	eventually(t, "the second extension registers", func() bool { return second.counters.Registrations.Load() == 1 })
	if err := d.LogString(t.Context(), "to the second"); err != nil {
		t.Fatal(err)
	}
	if got := second.payloads(extension.StreamResults); !slices.Equal(got, []string{"to the second"}) {
		t.Errorf("the second accepted %q", got)
	}
}

func TestRegistersAgainWhenForgotten(t *testing.T) {
	socket := socketPath(t)
	absences := make(chan [2]time.Time, 16)
	uuids := make(chan int64, 16)
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		c.OnAbsent = func(from, to time.Time) { absences <- [2]time.Time{from, to} }
		c.OnRegistered = func(uuid int64) { uuids <- uuid }
	})
	activate(t, d)
	started, first := time.Now(), <-uuids
	for range 3 {
		d.Forget()
		uuid := <-uuids
		absence := <-absences
		if absence[0].After(absence[1]) || absence[1].Before(started) {
			t.Errorf("absence from %v to %v", absence[0], absence[1])
		}
		if now, ok := d.UUID(); !ok || now != uuid {
			t.Errorf("osqueryd routes to %d, registered was %d", now, uuid)
		}
		if err := d.LogString(t.Context(), "after"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(extensionSocket(socket, first)); !os.IsNotExist(err) {
		t.Errorf("the socket of the first registration is still there: %v", err)
	}
	if got := r.payloads(extension.StreamResults); len(got) != 3 {
		t.Errorf("accepted %q", got)
	}
	if got := r.counters.Absences.Load(); got != 3 {
		t.Errorf("counted %d absences, want 3", got)
	}
}

// Without the extension, osqueryd's next result is its last: the driver must show
// that, or the test above shows nothing.
func TestForgottenExtensionEndsOsqueryd(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, func(c *extension.Config) { c.Interval = time.Hour })
	activate(t, d)
	d.Forget()
	mustExit(t, d.LogString(t.Context(), "lost"))
}

// The watcher starts a new worker when the old one was killed; the extension, whose
// parent is the watcher, is needed by the new one.
func TestSurvivesANewWorker(t *testing.T) {
	socket := socketPath(t)
	old := daemon(t, socket)
	r := run(t, socket, nil)
	activate(t, old)
	old.Kill()
	d := daemon(t, socket)
	activate(t, d)
	if err := d.LogString(t.Context(), "to the new worker"); err != nil {
		t.Fatal(err)
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, []string{"to the new worker"}) {
		t.Errorf("accepted %q", got)
	}
}

func TestLeavesWhenOsquerydAndParentAreGone(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	r := run(t, socket, nil)
	activate(t, d)
	r.parentDies()
	if err := d.LogString(t.Context(), "the socket still answers"); err != nil || !r.isRunning() {
		t.Fatalf("left an osqueryd that lives: %v", err)
	}
	d.Kill()
	r.ends()
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	socket := socketPath(t)
	entered, release := make(chan struct{}), make(chan struct{})
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		c.Accept = func(context.Context, extension.Call) error {
			close(entered)
			<-release
			return nil
		}
	})
	activate(t, d)
	uuid, _ := d.UUID()
	logged := make(chan error)
	go func() { logged <- d.LogString(t.Context(), "in flight") }()
	<-entered
	shutdown(t, socket, uuid)
	if !r.isRunning() {
		t.Error("left with a call in flight")
	}
	close(release)
	if err := <-logged; err != nil {
		t.Error(err)
	}
	r.ends()
	if _, err := os.Lstat(extensionSocket(socket, uuid)); !os.IsNotExist(err) {
		t.Errorf("the extension socket is still there: %v", err)
	}
}

func TestStopServesUntilShutdown(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) { c.MaxWait = patience })
	activate(t, d)
	r.stop()
	for range 200 {
		if err := d.LogString(t.Context(), "after SIGTERM"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	r.ends()
	if got := r.payloads(extension.StreamResults); len(got) != 200 {
		t.Errorf("accepted %d of 200 calls", len(got))
	}
}

func TestStopEndsWhenOsquerydIsGone(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) { c.MaxWait = patience })
	activate(t, d)
	r.stop()
	d.Kill()
	r.ends()
}

func TestStopIsBounded(t *testing.T) {
	socket := socketPath(t)
	entered := make(chan struct{})
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		c.Accept = func(ctx context.Context, _ extension.Call) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	activate(t, d)
	logged := make(chan error)
	go func() { logged <- d.LogString(t.Context(), "stuck") }()
	<-entered
	r.stop()
	if err := <-logged; err != nil {
		t.Errorf("the stuck call got no answer: %v", err)
	}
	r.ends()
	if _, ok := d.UUID(); ok {
		t.Error("left without deregistering")
	}
}

// A socket that can not be opened gives the UUID back and is tried again.
func TestListenFailureGivesTheUUIDBack(t *testing.T) {
	socket := socketPath(t)
	next := uint16(6)
	d, err := osqueryd.Start(osqueryd.Config{Socket: socket, Logger: "stackjoin", Timeout: patience, Interval: time.Hour, NextUUID: func() uint16 {
		next++
		return next
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	if err := os.WriteFile(extensionSocket(socket, 7), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, socket, nil)
	activate(t, d)
	if uuid, _ := d.UUID(); uuid != 8 {
		t.Errorf("registered under %d, want 8", uuid)
	}
	if n := r.counters.Registrations.Load(); n != 1 {
		t.Errorf("counted %d registrations", n)
	}
}

// An osqueryd that takes connections and answers nothing holds up neither the wait
// nor the end.
func TestStopWithAMuteOsqueryd(t *testing.T) {
	socket := socketPath(t)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, socket, nil)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.stop()
	r.ends()
}
