package osqueryd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// Extension is a program that osqueryd loads by itself (--extensions_autoload).
type Extension struct {
	// Path is the program. Args come after osqueryd's own arguments, which the
	// real one does not allow; tests name a configuration with them.
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Verbose adds osqueryd's --verbose.
	Verbose bool
	// Respawn starts the program again when it has ended, as the watcher does.
	Respawn bool
	// Output takes what the program prints. Unset, that is dropped.
	Output io.Writer
}

// child is the extension's process, as the watcher sees it.
type child struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has been waited for
	starts int
}

func newChild(cfg Config) *child { return &child{cfg: cfg, log: cfg.Log} }

// start launches the program with osqueryd's arguments and environment.
func (c *child) start() error {
	cmd := exec.Command(c.cfg.Extension.Path, c.args()...)
	cmd.Env = append(os.Environ(), c.cfg.Extension.Env...)
	cmd.Env = append(cmd.Env, "OSQUERY_EXTENSION="+strconv.Itoa(os.Getpid()))
	cmd.Stdout, cmd.Stderr = c.cfg.Extension.Output, c.cfg.Extension.Output
	// A grandchild that holds on to the output must not hold up the end.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("osqueryd: cannot create extension process: %w", err)
	}
	ended := make(chan struct{})
	c.mu.Lock()
	c.cmd, c.ended = cmd, ended
	c.starts++
	c.mu.Unlock()
	go func() {
		defer close(ended)
		c.log.Info("extension process ended", "pid", cmd.Process.Pid, "result", cmd.Wait())
	}()
	return nil
}

func (c *child) args() []string {
	var args []string
	if c.cfg.Extension.Verbose {
		args = append(args, "--verbose")
	}
	args = append(args, "--socket", c.cfg.Socket, "--timeout", seconds(c.cfg.Timeout), "--interval", seconds(c.cfg.Interval))
	return append(args, c.cfg.Extension.Args...)
}

// current returns the process and the channel that is closed once it has ended.
func (c *child) current() (*exec.Cmd, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd, c.ended
}

// watch looks at the process once a tick and starts it again when it has ended,
// without a limit, until ctx ends.
func (c *child) watch(ctx context.Context) {
	for sleep(ctx, c.cfg.WatcherInterval) == nil {
		if !c.cfg.Extension.Respawn || !c.hasEnded() {
			continue
		}
		if err := c.start(); err != nil {
			c.log.Error("cannot start the extension again", "error", err)
		}
	}
}

func (c *child) hasEnded() bool {
	_, ended := c.current()
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// wait waits for the process to end by itself. When ctx ends first the process is
// killed, which is an error.
func (c *child) wait(ctx context.Context) error {
	cmd, ended := c.current()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	// It may have ended in this moment; then there is nothing to kill.
	_ = cmd.Process.Kill()
	<-ended
	return fmt.Errorf("osqueryd: the extension had to be killed: %w", context.Cause(ctx))
}

// Signal sends a signal to the extension's process: SIGTERM as systemd does,
// SIGKILL to see it started again.
func (d *Daemon) Signal(sig os.Signal) error {
	if d.child == nil {
		return fmt.Errorf("osqueryd: no extension process to signal: %w", os.ErrProcessDone)
	}
	cmd, _ := d.child.current()
	if err := cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("osqueryd: signalling the extension: %w", err)
	}
	return nil
}

// PID returns the extension's process id and how often it has been started.
func (d *Daemon) PID() (pid, starts int) {
	if d.child == nil {
		return 0, 0
	}
	d.child.mu.Lock()
	defer d.child.mu.Unlock()
	return d.child.cmd.Process.Pid, d.child.starts
}

// ExtensionState returns how the extension's present process ended and what it
// used, nil while it runs.
func (d *Daemon) ExtensionState() *os.ProcessState {
	if d.child == nil || !d.child.hasEnded() {
		return nil
	}
	cmd, _ := d.child.current()
	return cmd.ProcessState
}

// WaitExtension waits until the extension's present process has ended, and kills
// it when ctx ends first, which is an error. It is for use after Kill.
func (d *Daemon) WaitExtension(ctx context.Context) error {
	if d.child == nil {
		return nil
	}
	return d.child.wait(ctx)
}
