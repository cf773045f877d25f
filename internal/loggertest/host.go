package loggertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// Topics are those of logger-ext's default configuration.
func Topics() []string { return []string{"osquery.results", "osquery.status", "osquery.deadletter"} }

// Build builds logger-ext as releases are, stripped, into dir and returns its
// path. It is called from anywhere inside the repository.
func Build(ctx context.Context, dir string) (string, error) {
	return BuildProgram(ctx, "./cmd/logger-ext", filepath.Join(dir, "logger-ext.ext"))
}

// BuildProgram is Build for a package of the repository, to that path.
func BuildProgram(ctx context.Context, pkg, path string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg) //nolint:gosec // the paths are the caller's own
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// repository is the folder above the working folder that has the program.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "logger-ext")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no cmd/logger-ext above the working folder")
		}
		dir = parent
	}
}

// Host is a machine with osqueryd and logger-ext on it. Its folder outlives its
// osqueryd: Start may be called again after Stop. It is used by one goroutine at a
// time, but for Daemon's own methods.
type Host struct {
	*osqueryd.Daemon // nil before Start and after Stop

	// Interval is osqueryd's time between pings, 3 s when unset; Timeout is how
	// long it waits for the extension, 30 s when unset.
	Interval, Timeout time.Duration

	program, dir string
	out          output
}

// NewHost makes a host in dir, whose path must be short enough for a socket, and
// configures it.
func NewHost(program, dir, kafka, text string) (*Host, error) {
	h := &Host{program: program, dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	return h, h.Configure(kafka, text)
}

// Configure writes logger-ext's configuration: kafka is what stands in the braces
// of that key, which is left out when it is empty; text is any other keys but spool.
func (h *Host) Configure(kafka, text string) error {
	if kafka != "" {
		text = "kafka: {" + kafka + "}\n" + text
	}
	whole := fmt.Sprintf("spool: {dir: %s, min_free: 0, max_bytes: 8GiB}\n%s", h.Spool(), text)
	if err := os.WriteFile(h.config(), []byte(whole), 0o600); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// Spool is the folder of the spool.
func (h *Host) Spool() string { return filepath.Join(h.dir, "spool") }

// Socket is the path of osqueryd's extension manager socket.
func (h *Host) Socket() string { return filepath.Join(h.dir, "o.sock") }

func (h *Host) config() string { return filepath.Join(h.dir, "logger-ext.yaml") }

// Output is what logger-ext printed.
func (h *Host) Output() string { return h.out.String() }

// Start starts osqueryd with the extension, which is started again whenever it
// ends, and waits until osqueryd logs through it.
func (h *Host) Start(ctx context.Context, env ...string) error {
	d, err := osqueryd.Start(osqueryd.Config{
		Socket: h.Socket(), Logger: "stackjoin", Timeout: cmp.Or(h.Timeout, 30*time.Second),
		Interval: h.Interval, WatcherInterval: 10 * time.Millisecond,
		Extension: &osqueryd.Extension{
			Path: h.program, Args: []string{"--config", h.config()}, Env: env, Output: &h.out, Respawn: true,
		},
	})
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	h.Daemon = d
	if err := d.Activate(ctx); err != nil {
		return errors.Join(fmt.Errorf("host: %w\n%s", err, h.Output()), h.Stop())
	}
	return nil
}

// Stop ends osqueryd and the extension as a machine does that is shut down.
func (h *Host) Stop() error {
	if h.Daemon == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := h.Shutdown(ctx)
	h.Daemon = nil
	if err != nil {
		return fmt.Errorf("host: %w\n%s", err, h.Output())
	}
	if out := h.Output(); strings.Contains(out, "goroutine ") {
		return fmt.Errorf("host: logger-ext printed a stack trace:\n%s", out)
	}
	return nil
}

// output keeps what a process prints. It is safe for concurrent use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p) //nolint:wrapcheck // a buffer never fails
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
