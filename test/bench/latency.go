package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// A disk whose syncs take 10 ms, made by strace, which holds the process at the
// entry of each sync and of nothing else.
const (
	syncDelay    = 10 * time.Millisecond
	latencyCalls = 150
	latencyTurns = 3
	barLatency   = 1.2
)

// slowSyncs is the command line under which a program meets the slow disk. The
// tracer is no parent of the program, which goes by who its parent is.
func slowSyncs() []string {
	calls := "fsync,fdatasync"
	return []string{
		"strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + calls,
		"-e", fmt.Sprintf("inject=%s:delay_enter=%d", calls, syncDelay.Microseconds()),
	}
}

// latency measures what one caller waits for on a disk with slow syncs: a call, with
// osqueryd's ping before it, beside a bare write and sync of the same bytes.
func (b *bench) latency(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		b.table.note("call / sync of 10 ms", "not measured: strace is missing")
		return nil
	}
	wrapped, err := b.wrapped()
	if err != nil {
		return err
	}
	br, err := startBroker(ctx)
	if err != nil {
		return err
	}
	defer br.stop()
	var calls, syncs []float64
	for range latencyTurns {
		call, err := b.callLatency(ctx, wrapped, br.addr)
		if err != nil {
			return err
		}
		sync, err := b.syncLatency(ctx)
		if err != nil {
			return err
		}
		calls, syncs = append(calls, call), append(syncs, sync)
	}
	ratio := median(ratios(calls, syncs))
	b.table.atMost("call / sync, one caller, syncs of 10 ms", fmt.Sprintf("%.2fx, median call %.2f ms against write and sync %.2f ms",
		ratio, median(calls), median(syncs)), ratio, barLatency)
	return nil
}

// wrapped makes a program that is logger-ext on the slow disk.
func (b *bench) wrapped() (string, error) {
	path := filepath.Join(b.dir, "slow-logger-ext")
	script := "#!/bin/sh\nexec"
	for _, arg := range append(slowSyncs(), b.program) {
		script += " '" + arg + "'"
	}
	if err := os.WriteFile(path, []byte(script+" \"$@\"\n"), 0o700); err != nil { //nolint:gosec // it is run
		return "", fmt.Errorf("slow disk: %w", err)
	}
	return path, nil
}

// callLatency is the median of calls of 100 rows, in milliseconds, while their rows
// are shipped.
func (b *bench) callLatency(ctx context.Context, program, addr string) (middle float64, err error) {
	err = b.hostOn(ctx, program, "brokers: ["+addr+"]", "", func(h *loggertest.Host) error {
		call := loggertest.NewRows(1).Call(rowsPerCall)
		var all []float64
		for range latencyCalls {
			began := time.Now()
			if err := h.LogString(ctx, call); err != nil {
				return err //nolint:wrapcheck // it says what
			}
			all = append(all, time.Since(began).Seconds()*1e3)
		}
		middle = median(all)
		return nil
	})
	return middle, err
}

// syncLatency is the median of a child's bare writes and syncs, in milliseconds.
func (b *bench) syncLatency(ctx context.Context) (float64, error) {
	size := len(loggertest.NewRows(1).Call(rowsPerCall))
	args := append(slowSyncs(), os.Args[0], "child", "sync", filepath.Join(b.dir, "synced"), strconv.Itoa(size))
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output() //nolint:gosec // ourselves
	if err != nil {
		return 0, fmt.Errorf("child sync: %w", err)
	}
	var middle float64
	if err := json.Unmarshal(out, &middle); err != nil {
		return 0, fmt.Errorf("child sync printed %q: %w", out, err)
	}
	return middle, nil
}

// syncChild writes and syncs: its arguments are a file and how many bytes at a time.
func syncChild(args []string) (err error) {
	if len(args) != 2 {
		return errors.New("a file and a size are needed")
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	f, err := os.Create(args[0])
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var all []float64
	for range latencyCalls {
		began := time.Now()
		if _, err := f.Write(make([]byte, size)); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		all = append(all, time.Since(began).Seconds()*1e3)
	}
	return json.NewEncoder(os.Stdout).Encode(median(all)) //nolint:wrapcheck // a pipe to the parent
}
