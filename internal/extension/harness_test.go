package extension_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// patience bounds every wait of these tests. It is never what they measure.
const patience = 30 * time.Second

// socketPath returns a path short enough for a socket with a UUID behind it.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sj")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "em")
}

// daemon starts an osqueryd that pings often and ends with the test.
func daemon(t *testing.T, socket string) *osqueryd.Daemon {
	t.Helper()
	d, err := osqueryd.Start(osqueryd.Config{
		Socket:   socket,
		Logger:   "stackjoin",
		Timeout:  patience,
		Interval: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	return d
}

// running is an extension in this process.
type running struct {
	t        *testing.T
	stop     context.CancelFunc
	done     chan error
	counters extension.Counters
	parent   chan struct{} // closed: the parent has ended

	mu    sync.Mutex
	calls []extension.Call
}

// run starts an extension that keeps its calls. change may alter its config.
func run(t *testing.T, socket string, change func(*extension.Config)) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, stop: stop, done: make(chan error, 1), parent: make(chan struct{})}
	cfg := extension.Config{
		Socket:   socket,
		Interval: 20 * time.Millisecond,
		MaxWait:  50 * time.Millisecond,
		Version:  "1.2.3",
		Accept:   r.accept,
		Counters: &r.counters,
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		ParentAlive: func() bool {
			select {
			case <-r.parent:
				return false
			default:
				return true
			}
		},
	}
	if change != nil {
		change(&cfg)
	}
	go func() { r.done <- extension.Run(ctx, cfg) }()
	t.Cleanup(r.abort)
	return r
}

func (r *running) accept(_ context.Context, c extension.Call) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Payload = bytes.Clone(c.Payload) // the memory is not ours
	r.calls = append(r.calls, c)
	return nil
}

// payloads returns what was accepted for one stream, in order.
func (r *running) payloads(stream string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, c := range r.calls {
		if c.Stream == stream {
			list = append(list, string(c.Payload))
		}
	}
	return list
}

// parentDies lets the extension find its parent gone. It must be called once.
func (r *running) parentDies() { close(r.parent) }

// abort ends an extension that a failed test left behind.
func (r *running) abort() {
	r.stop()
	select {
	case <-r.parent:
	default:
		close(r.parent)
	}
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Error("the extension does not end")
	}
}

// ends waits for Run to return nil.
func (r *running) ends() {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		if err != nil {
			r.t.Fatalf("Run returned %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("Run does not return")
	}
}

// isRunning tells whether Run has not returned yet.
func (r *running) isRunning() bool {
	select {
	case err := <-r.done:
		r.done <- err
		return false
	default:
		return true
	}
}

// activate waits for the extension's registration.
func activate(t *testing.T, d *osqueryd.Daemon) {
	t.Helper()
	if err := d.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// mustExit checks that an error would have ended osqueryd.
func mustExit(t *testing.T, err error) {
	t.Helper()
	var exit *osqueryd.ExitError
	if !errors.As(err, &exit) || exit.Code != 78 {
		t.Fatalf("got %v, want osqueryd's exit 78", err)
	}
}
