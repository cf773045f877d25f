package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// The bars of the program's weight.
const (
	barIdle       = 24 // MiB
	barDraining   = 48 // MiB
	barGiant      = 3  // times the payload, and barDraining
	barIdleCPU    = 0.2
	barBinaryMB   = 30
	idleWait      = 10 * time.Second
	idleCPUWindow = 30 * time.Second
)

// footprint measures what the host gives to logger-ext: memory idle, draining and
// after a giant call, processor idle, disk for the binary.
func (b *bench) footprint(ctx context.Context) error {
	info, err := os.Stat(b.program)
	if err != nil {
		return fmt.Errorf("binary: %w", err)
	}
	size := float64(info.Size()) / 1e6
	b.table.atMost("binary, stripped", fmt.Sprintf("%.1f MB", size), size, barBinaryMB)
	for _, measure := range []func(context.Context) error{b.idle, b.draining} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) idle(ctx context.Context) error {
	return b.withHost(ctx, "", func(h *loggertest.Host, br *broker) error {
		if err := h.LogString(ctx, loggertest.NewRows(1).Call(10)); err != nil {
			return err
		}
		if err := awaitRecords(ctx, br.addr, "osquery.results", 10); err != nil {
			return err
		}
		if err := sleep(ctx, idleWait); err != nil {
			return err
		}
		pid, _ := h.PID()
		rss, err := loggertest.RSS(pid)
		if err != nil {
			return err
		}
		b.table.atMost("idle: RSS after 10 rows and 10 s", fmt.Sprintf("%.1f MiB", mib(rss)), mib(rss), barIdle)
		return b.idleCPU(ctx, pid)
	})
}

func (b *bench) idleCPU(ctx context.Context, pid int) error {
	before, err := loggertest.CPU(pid)
	if err != nil {
		return err
	}
	if err := sleep(ctx, idleCPUWindow); err != nil {
		return err
	}
	after, err := loggertest.CPU(pid)
	if err != nil {
		return err
	}
	percent := 100 * float64(after-before) / float64(idleCPUWindow)
	b.table.atMost("idle: CPU over 30 s, pings every 3 s", fmt.Sprintf("%.2f %%", percent), percent, barIdleCPU)
	return nil
}

// draining fills a spool while the broker is away, then lets it drain.
func (b *bench) draining(ctx context.Context) error {
	target := int64(256 << 20)
	if b.long {
		target = 1 << 30
	}
	return b.withHost(ctx, "", func(h *loggertest.Host, br *broker) error {
		if err := br.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		rows, bytes, err := fill(ctx, h, target)
		if err != nil {
			return err
		}
		if err := br.signal(syscall.SIGCONT); err != nil {
			return err
		}
		pid, _ := h.PID()
		before, err := loggertest.CPU(pid)
		if err != nil {
			return err
		}
		samples, started := sampleRSS(ctx, pid), time.Now()
		if err := awaitRecords(ctx, br.addr, "osquery.results", rows); err != nil {
			return err
		}
		took := time.Since(started)
		peak, middle := samples()
		after, err := loggertest.CPU(pid)
		if err != nil {
			return err
		}
		b.table.atMost("draining "+fmt.Sprintf("%.0f MiB", mib(bytes))+": RSS, highest of samples",
			fmt.Sprintf("%.1f MiB (median %.1f), in %.1f s", mib(peak), mib(middle), took.Seconds()), mib(peak), barDraining)
		b.table.note("draining: CPU per row, zstd", fmt.Sprintf("%.2f us", (after-before).Seconds()*1e6/float64(rows)))
		return nil
	})
}

// fill logs calls of 100 rows until their payloads have that many bytes.
func fill(ctx context.Context, h *loggertest.Host, target int64) (rows, bytes int64, err error) {
	call := loggertest.NewRows(1).Call(100)
	for bytes < target {
		if err := h.LogString(ctx, call); err != nil {
			return 0, 0, err
		}
		rows += 100
		bytes += int64(len(call))
	}
	return rows, bytes, nil
}

// sampleRSS looks at a process's memory ten times a second until the function that
// it returns is called, which tells the highest and the median.
func sampleRSS(ctx context.Context, pid int) func() (highest, middle int64) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan []float64)
	go func() {
		var all []float64
		for sleep(ctx, 100*time.Millisecond) == nil {
			if rss, err := loggertest.RSS(pid); err == nil {
				all = append(all, float64(rss))
			}
		}
		done <- append(all, 0)
	}()
	return func() (int64, int64) {
		cancel()
		all := <-done
		highest := 0.0
		for _, v := range all {
			highest = max(highest, v)
		}
		return int64(highest), int64(median(all))
	}
}

// giant logs one row of 256 MiB, which is spooled whole and shipped as a dead
// letter.
func (b *bench) giant(ctx context.Context) error {
	const payload = 256 << 20
	return b.withHost(ctx, "", func(h *loggertest.Host, br *broker) error {
		line := `{"name":"q","hostIdentifier":"h","columns":{"x":"` + strings.Repeat("y", payload) + `"},"action":"added"}`
		if err := h.LogString(ctx, line); err != nil {
			return err
		}
		if err := awaitRecords(ctx, br.addr, "osquery.deadletter", 1); err != nil {
			return err
		}
		pid, _ := h.PID()
		peak, err := loggertest.PeakRSS(pid)
		if err != nil {
			return err
		}
		bar := float64(barGiant*payload>>20 + barDraining)
		b.table.atMost("one row of 256 MiB: peak RSS", fmt.Sprintf("%.0f MiB, %.2fx the payload", mib(peak), float64(peak)/payload), mib(peak), bar)
		if err := sleep(ctx, time.Minute); err != nil {
			return err
		}
		rss, err := loggertest.RSS(pid)
		if err != nil {
			return err
		}
		b.table.atMost("one row of 256 MiB: RSS 60 s later", fmt.Sprintf("%.1f MiB", mib(rss)), mib(rss), barDraining)
		return nil
	})
}
