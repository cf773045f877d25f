package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// child is one of the processes that are measured or serve those that are.
func child(ctx context.Context, role string, args []string) error {
	switch role {
	case "broker":
		return brokerChild()
	case "copier":
		return copierChild(ctx, args)
	case "producer":
		return producerChild(ctx, args)
	case "changelog":
		return changelogChild(ctx, args)
	case "sync":
		return syncChild(args)
	case "spool", "wlog":
		return logChild(ctx, role, args)
	}
	return fmt.Errorf("no child %q", role)
}

// usage is what a child spent between two moments.
type usage struct {
	Wall, CPU time.Duration
	Disk      int64
}

// measured runs work and prints what it spent.
func measured(work func() (disk int64, err error)) error {
	wall, cpu := time.Now(), ownCPU()
	disk, err := work()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(usage{time.Since(wall), ownCPU() - cpu, disk}) //nolint:wrapcheck // a pipe to the parent
}

// ownCPU is this process's user and system time.
func ownCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with this argument
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// spawn runs a child to its end and returns what it spent.
func spawn(ctx context.Context, role string, args ...string) (u usage, err error) {
	cmd := self(ctx, role, args...)
	out, err := cmd.Output()
	if err != nil {
		return usage{}, fmt.Errorf("child %s: %w", role, err)
	}
	if err := json.Unmarshal(out, &u); err != nil {
		return usage{}, fmt.Errorf("child %s printed %q: %w", role, out, err)
	}
	return u, nil
}

func self(ctx context.Context, role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"child", role}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// broker is a kfake in a process of its own.
type broker struct {
	addr  string
	stdin io.Closer
	cmd   *exec.Cmd
}

func startBroker(ctx context.Context) (*broker, error) {
	cmd := self(ctx, "broker")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	return &broker{lines.Text(), stdin, cmd}, nil
}

// signal stops the broker's process, or lets it go on.
func (b *broker) signal(sig syscall.Signal) error {
	if err := b.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// stop ends the broker by closing its standard input.
func (b *broker) stop() {
	_ = b.stdin.Close()
	_ = b.cmd.Wait() // its end was asked for
}

func brokerChild() error {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, append(loggertest.Topics(), "plain")...))
	if err != nil {
		return fmt.Errorf("kfake: %w", err)
	}
	defer c.Close()
	fmt.Fprintln(os.Stdout, c.ListenAddrs()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err //nolint:wrapcheck // a pipe from the parent
}
