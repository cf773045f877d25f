package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/hostid"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/version"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// daemon is logger-ext under osqueryd. Two things run side by side: the extension
// that takes calls, in the goroutine of run, and the shipping of what was
// spooled, in one that run starts and waits for.
type daemon struct {
	socket            string
	timeout, interval time.Duration
	log               *slog.Logger

	// cfg says what to ship where; nil ships nothing.
	cfg      *loggerconf.Config
	spoolDir string
	limits   loggerconf.Spool
	// wrong is why cfg is not what the file says.
	wrong error
}

// goodName is the last configuration that was right, beside the spool.
const goodName = "last-good.yaml"

// configure takes the configuration, or when it is wrong the last good one, or
// none: then calls are spooled and wait.
func (d *daemon) configure(path string, cfg *loggerconf.Config, err error) {
	d.cfg, d.spoolDir, d.limits, d.wrong = cfg, cfg.SpoolDir(), cfg.Spool, err
	good := filepath.Join(d.spoolDir, goodName)
	if err == nil {
		d.keepGood(path, good)
		return
	}
	d.log.Error("the configuration is wrong", "file", path, "error", err)
	last, lastErr := loggerconf.Load(good)
	if lastErr != nil {
		d.cfg = nil
		defaults, _ := loggerconf.Load(os.DevNull) // an empty file is all defaults
		d.limits = defaults.Spool
		return
	}
	d.cfg, d.limits = last, last.Spool
	d.log.Warn("running on the last good configuration", "file", good)
}

// keepGood copies the configuration beside the spool. Values from the environment
// stay names in it.
func (d *daemon) keepGood(path, good string) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.MkdirAll(d.spoolDir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(good+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(good+".new", good)
	}
	if err != nil {
		d.log.Warn("the configuration is not kept as last good one", "error", err)
	}
}

// run locks the spool, then registers and serves until osqueryd is done with us.
func (d *daemon) run(ctx context.Context) error {
	alive, release := extension.WatchParent()
	defer release()
	lock := d.lock(ctx, alive)
	if lock == nil {
		return nil // stopped, or osqueryd is gone: it was never ours to log
	}
	defer lock.Unlock() //nolint:errcheck // the process ends
	intake := newIntake(d)
	shipping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { intake.run(shipping) })
	err := extension.Run(ctx, extension.Config{
		Socket: d.socket, Timeout: d.timeout, Interval: d.interval,
		Version: version.Version, Accept: intake.accept, ParentAlive: alive, Log: d.log,
	})
	stop()
	background.Wait()
	return errors.Join(err, intake.close())
}

// lockEvery is how often a held lock is tried again.
const lockEvery = 100 * time.Millisecond

// lock waits for the spool's lock without registering: osqueryi and a second
// osqueryd start extensions too, and registering would take the daemon's rows.
// nil means that there is nothing to wait for any more.
func (d *daemon) lock(ctx context.Context, alive func() bool) *spool.Lock {
	told := false
	for ctx.Err() == nil && alive() {
		lock, ok, err := spool.TryLock(d.spoolDir)
		if ok {
			return lock
		}
		if !told {
			told = true
			d.tellWaiting(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockEvery):
		}
	}
	return nil
}

func (d *daemon) tellWaiting(err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.log.Info("this user does not own the spool: idle until that changes", "dir", d.spoolDir, "error", err)
	case err != nil:
		d.log.Error("the spool cannot be locked, trying again", "dir", d.spoolDir, "error", err)
	default:
		d.log.Info("another process has the spool: idle until it is free", "dir", d.spoolDir)
	}
}

// openSpool opens the spool with the limits of the configuration.
func (d *daemon) openSpool(ctx context.Context) (*spool.Spool, error) {
	s, err := spool.Open(ctx, spool.Config{
		Dir: d.spoolDir, HostIDs: hostid.Read(), MaxBytes: int64(d.limits.MaxBytes), MinFree: minFree(d.limits), Log: d.log,
	})
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

// minFree is what the spool understands: there 0 is the default.
func minFree(limits loggerconf.Spool) int64 {
	if limits.MinFree == 0 {
		return -1
	}
	return int64(limits.MinFree)
}
