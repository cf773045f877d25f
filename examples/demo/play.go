package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// playAll runs every host at once and returns how many rows they logged.
func playAll(ctx context.Context, out io.Writer, dir, broker string) (rows int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	for _, h := range fleet() {
		rows += h.rows
		fmt.Fprintf(out, "  %-9s %d rows in %d calls\n", h.name, h.rows, len(h.lines))
		group.Go(func() error {
			if err := h.play(ctx, dir, broker); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			return nil
		})
	}
	return rows, group.Wait()
}

// play starts the host's osqueryd with the real logger-ext and logs its lines:
// a ping and a call for each, on fresh connections.
func (h *host) play(ctx context.Context, dir, broker string) (err error) {
	log, err := os.Create(filepath.Join(dir, h.name+".log"))
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	d, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(dir, h.name+".em"), Logger: "stackjoin", Timeout: 15 * time.Second,
		Extension: &osqueryd.Extension{
			Path: "bin/logger-ext.ext", Args: []string{"--config", "examples/logger-ext.yaml"}, Output: log,
			Env: []string{"KAFKA_BROKERS=" + broker, "SPOOL_DIR=" + filepath.Join(dir, "spool-"+h.name)},
		},
	})
	if err != nil {
		return fmt.Errorf("osqueryd: %w", err)
	}
	defer func() { err = errors.Join(err, leave(d)) }()
	if err := d.Activate(ctx); err != nil {
		return fmt.Errorf("%w (see %s)", err, log.Name())
	}
	for _, line := range h.lines {
		if err := d.LogString(ctx, line); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	// The host stays up until its rows had time to go; what is not sent would go
	// at its next start.
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
	}
	return nil
}

// leave ends a host's osqueryd.
func leave(d *osqueryd.Daemon) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return d.Shutdown(ctx)
}
