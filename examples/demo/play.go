package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// running are the hosts that have logged their rows and stay up to ship them:
// what is not sent when a host goes down goes at its next start.
type running struct {
	rows int
	// attacked is the host that the attack was on.
	attacked *host

	mu    sync.Mutex
	hosts []*osqueryd.Daemon
}

// playAll lets every host log its rows at once. The caller calls leave, also
// after an error.
func playAll(ctx context.Context, out io.Writer, dir, broker string) (*running, error) {
	r := &running{}
	group, ctx := errgroup.WithContext(ctx)
	for _, h := range fleet() {
		r.rows += h.rows
		if h.instance != "" {
			r.attacked = h
		}
		fmt.Fprintf(out, "  %-9s %d rows in %d calls\n", h.name, h.rows, len(h.lines))
		group.Go(func() error {
			if err := r.play(ctx, h, dir, broker); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			return nil
		})
	}
	return r, group.Wait()
}

// play starts the host's osqueryd with the real logger-ext and logs its lines:
// a ping and a call for each, on fresh connections.
func (r *running) play(ctx context.Context, h *host, dir, broker string) error {
	log, err := os.Create(filepath.Join(dir, h.name+".log"))
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	d, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(dir, h.name+".em"), Logger: "stackjoin", Timeout: 15 * time.Second,
		Extension: &osqueryd.Extension{
			Path: "bin/logger-ext.ext", Args: []string{"--config", "examples/logger-ext.yaml"}, Output: log,
			Env: []string{"KAFKA_BROKERS=" + broker, "SPOOL_DIR=" + filepath.Join(dir, "spool-"+h.name)},
		},
	})
	if err = errors.Join(err, log.Close()); err != nil { // the program has it open
		return fmt.Errorf("osqueryd: %w", err)
	}
	r.mu.Lock()
	r.hosts = append(r.hosts, d)
	r.mu.Unlock()
	if err := d.Activate(ctx); err != nil {
		return fmt.Errorf("%w (see %s)", err, log.Name())
	}
	for _, line := range h.lines {
		if err := d.LogString(ctx, line); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	return nil
}

// leave ends every host's osqueryd.
func (r *running) leave() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, d := range r.hosts {
		err = errors.Join(err, d.Shutdown(ctx))
	}
	return err
}
