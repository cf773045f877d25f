package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/loggerstat"
	"github.com/stackjoin/stackjoin/internal/version"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// daemon is logger-ext under osqueryd. The extension takes calls in the goroutine
// of run; shipping, tending the spool, looking at the configuration, own status
// lines and metrics each have one that run starts and waits for.
type daemon struct {
	socket            string
	timeout, interval time.Duration
	path              string // of the configuration
	spoolDir          string
	verbose           bool
	log               *slog.Logger
	setLevel          func(name string)
	hup               <-chan os.Signal
	lines             <-chan ownLine

	settings atomic.Pointer[settings]
	// changed tells shipping that there are other settings.
	changed  chan struct{}
	counters extension.Counters
	stat     stat
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
	d.changed = make(chan struct{}, 1)
	d.settings.Store(load(d.path, d.spoolDir, d.log))
	intake := newIntake(d)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	for _, part := range []func(context.Context){d.watch, intake.tend, intake.ship, intake.ownLines, intake.serveMetrics} {
		group.Go(func() { part(background) })
	}
	err := extension.Run(ctx, extension.Config{
		Socket: d.socket, Timeout: d.timeout, Interval: d.interval, Version: version.Version, ParentAlive: alive, Log: d.log,
		Accept: intake.accept, OnAbsent: intake.absent, OnRegistered: intake.registered, Counters: &d.counters,
		Table: loggerstat.Table(intake.snapshot),
	})
	stop()
	group.Wait()
	return errors.Join(err, intake.close())
}

// lockEvery is how often a held lock is tried again.
const lockEvery = 100 * time.Millisecond

// lock waits for the spool's lock without registering: osqueryi and a second
// osqueryd start extensions too, and registering would take the daemon's rows.
// nil means that there is nothing to wait for any more.
func (d *daemon) lock(ctx context.Context, alive func() bool) *spool.Lock {
	told := ""
	tell := func(what string, err error) {
		if told != what {
			told = what
			d.log.Info(what, "dir", d.spoolDir, "error", err)
		}
	}
	for ctx.Err() == nil && alive() {
		lock, ok, err := spool.TryLock(d.spoolDir)
		switch {
		case ok && d.mayLog(ctx, alive):
			return lock
		case ok:
			_ = lock.Unlock() // nothing was done under it
			tell("osqueryd runs with --disable_logging: idle", nil)
			for pause(ctx, time.Second) && alive() {
			}
			return nil
		case errors.Is(err, fs.ErrPermission):
			tell("this user does not own the spool: idle until that changes", err)
		case err != nil:
			tell("the spool cannot be locked, trying again", err)
		default:
			tell("another process has the spool: idle until it is free", nil)
		}
		pause(ctx, lockEvery)
	}
	return nil
}

// mayLog waits for osqueryd and tells whether it logs at all: osqueryi does not,
// and would keep the spool from the daemon that does. An osqueryd that does not
// know the question is taken for one that logs, for it must find its logger.
func (d *daemon) mayLog(ctx context.Context, alive func() bool) bool {
	for ctx.Err() == nil && alive() {
		disabled, err := extension.LoggingDisabled(ctx, d.socket)
		if !errors.Is(err, extension.ErrAway) {
			return !disabled
		}
		pause(ctx, lockEvery)
	}
	return false
}

// pause waits for d and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
