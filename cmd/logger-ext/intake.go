package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/hostid"
	"github.com/stackjoin/stackjoin/internal/redact"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// intake takes calls into the spool.
type intake struct {
	d     *daemon
	spool atomic.Pointer[spool.Spool] // nil until it could be opened
	attic *shipper.Attic

	mu      sync.Mutex
	waiting waiting
}

// waiting are calls that came while the spool could not be opened: the first of
// them in memory, the others as counts by stream.
type waiting struct {
	calls []spool.Call
	bytes int64
	lost  map[string]loss
}

type loss struct {
	calls uint64
	bytes int64
}

// maxWaiting bounds what is held in memory for a spool that cannot be opened.
const maxWaiting = 8 << 20

func newIntake(d *daemon) *intake {
	i := &intake{d: d, attic: shipper.NewAttic(filepath.Join(d.spoolDir, "oversized"), int64(d.settings.Load().limits.OversizedMaxBytes))}
	i.open(context.Background())
	return i
}

// open tries to open the spool, and puts into it what waited for that.
func (i *intake) open(ctx context.Context) {
	limits := i.d.settings.Load().limits
	s, err := spool.Open(ctx, spool.Config{
		Dir: i.d.spoolDir, HostIDs: hostid.Read(), MaxBytes: int64(limits.MaxBytes), MinFree: limits.FreeBytes(),
		WhenFull: policy(limits.WhenFull), SyncEvery: limits.SyncEvery(), Others: i.attic.Held, Log: i.d.log,
	})
	if err != nil {
		i.d.stat.failed(err)
		i.d.log.Error("the spool does not open, calls are held in memory as far as they fit", "dir", i.d.spoolDir, "error", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.waiting.calls {
		if _, err := s.Append(ctx, c); err != nil {
			i.d.log.Error("a call that waited for the spool is lost", "error", err)
		}
	}
	for stream, l := range i.waiting.lost {
		s.Lose(spool.Unwritable, stream, l.calls, l.bytes)
	}
	i.waiting = waiting{}
	i.spool.Store(s)
	i.d.log.Info("spool open", "dir", i.d.spoolDir, "agent", s.Agent(), "run", s.Run(), "waiting_calls", s.Stats().Calls)
}

// policy is the spool's word for one of the configuration's.
func policy(name string) spool.WhenFull {
	switch name {
	case "drop_newest":
		return spool.DropNewest
	case "block":
		return spool.Block
	}
	return spool.DropOldest
}

// accept makes a call durable. Its error is logged by the extension, which
// answers OK in any case.
func (i *intake) accept(ctx context.Context, c extension.Call) error {
	return i.append(ctx, i.prepare(c))
}

func (i *intake) append(ctx context.Context, c spool.Call) error {
	s := i.spool.Load()
	if s == nil {
		if s = i.wait(c); s == nil {
			return nil
		}
	}
	if seq, err := s.Append(ctx, c); err != nil {
		return fmt.Errorf("call %s/%s/%d dropped: %w", s.Agent(), s.Run(), seq, err)
	}
	return nil
}

// wait keeps a call for a spool that is not open, or returns the one that was
// opened meanwhile.
func (i *intake) wait(c spool.Call) *spool.Spool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if s := i.spool.Load(); s != nil {
		return s
	}
	w, size := &i.waiting, int64(len(c.Payload))
	if len(w.lost) == 0 && w.bytes+size <= maxWaiting {
		c.Payload = bytes.Clone(c.Payload) // the caller's memory takes the next call
		w.calls, w.bytes = append(w.calls, c), w.bytes+size
		return nil
	}
	if w.lost == nil {
		w.lost = map[string]loss{}
	}
	l := w.lost[c.Stream]
	w.lost[c.Stream] = loss{l.calls + 1, l.bytes + size}
	return nil
}

// prepare decides a call's stream and hides what redaction rules name. What goes
// wrong in that leaves the call as it came: it is redacted before it is shipped.
func (i *intake) prepare(c extension.Call) (ready spool.Call) {
	ready = spool.Call{Stream: c.Stream, Type: c.Type, Payload: c.Payload}
	defer func() {
		if cause := recover(); cause != nil {
			ready = spool.Call{Stream: c.Stream, Type: c.Type, Payload: c.Payload}
			i.d.log.Error("panic while routing or redacting a call", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	set := i.d.settings.Load()
	if set.routes != nil {
		if topic, ok := set.routes.Stream(c.Type, c.Payload); ok {
			ready.Stream = topic
		}
	}
	if set.rules != nil {
		ready.Payload, _ = set.rules.Apply(c.Type, c.Payload)
		ready.Rules = set.rules.ID()
	}
	return ready
}

// late redacts a call that was spooled while no rules were known.
func late(rules *redact.Rules) func(typ byte, payload []byte) ([]byte, bool) {
	if rules == nil {
		return nil
	}
	return func(typ byte, payload []byte) ([]byte, bool) {
		out, n := rules.Apply(typ, payload)
		return out, n > 0
	}
}

func (i *intake) close() error {
	s := i.spool.Load()
	if s == nil {
		return nil
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close the spool: %w", err)
	}
	return nil
}

// settle is the time after which a start is over.
const settle = 3 * time.Second

// recoverEvery is the pause after a failure of our own disk.
const recoverEvery = 5 * time.Second

// tend does what the spool needs from time to time, until ctx ends: it opens it
// if that failed, writes what a failing disk did not take, syncs where that is not
// done for each call, and spools heartbeats; and it gives memory back.
func (i *intake) tend(ctx context.Context) {
	recover := time.NewTicker(recoverEvery)
	defer recover.Stop()
	syncs := every(i.d.settings.Load().limits.SyncEvery())
	defer syncs.Stop()
	settled := time.NewTimer(settle)
	defer settled.Stop()
	beat := time.NewTimer(firstBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-recover.C:
			i.recover(ctx)
			giveBack()
		case <-settled.C:
			debug.FreeOSMemory() // what starting took: tables of packages, the configuration
		case <-syncs.C:
			i.sync()
		case <-beat.C:
			beat.Reset(i.beat(ctx))
		}
	}
}

// every is a ticker, one that never ticks for 0.
func every(d time.Duration) *time.Ticker {
	if d <= 0 {
		t := time.NewTicker(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTicker(d)
}

func (i *intake) recover(ctx context.Context) {
	s := i.spool.Load()
	if s == nil {
		i.open(ctx)
		return
	}
	if err := s.Recover(); err != nil {
		i.d.stat.failed(err)
	}
}

func (i *intake) sync() {
	if s := i.spool.Load(); s != nil {
		if err := s.Sync(); err != nil && !errors.Is(err, spool.ErrClosed) {
			i.d.stat.failed(err)
		}
	}
}
