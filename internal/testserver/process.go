package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running program, watched by one goroutine until it ends.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs a program in a folder (empty: this one), with env added to the
// environment and its words appended to a log file.
func Start(log, dir string, env []string, name string, args ...string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	p := &Process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = dir
	if env != nil {
		p.cmd.Env = append(os.Environ(), env...)
	}
	p.cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		// The kernel kills the program when the thread that started it
		// ends, so this thread must live until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer func() { _ = out.Close() }()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // a signal ends it; that is no news
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// End sends a signal and waits until the program is gone.
func (p *Process) End(sig syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !p.Ended() {
		return fmt.Errorf("signal: %w", err)
	}
	<-p.done
	return nil
}
