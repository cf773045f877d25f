package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/loggerstat"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/internal/version"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// firstBeat is when the first heartbeat is spooled, soon enough to tell that a
// host is there, and late enough for the first rows to go before it.
const firstBeat = 5 * time.Second

// noBeat is how often it is looked whether heartbeats were turned on.
const noBeat = time.Minute

// beat spools a heartbeat and returns the time to the next.
func (i *intake) beat(ctx context.Context) time.Duration {
	set := i.d.settings.Load()
	every := 5 * time.Minute
	if set.cfg != nil {
		every = set.cfg.Heartbeat.Std()
	}
	s := i.spool.Load()
	if every <= 0 || s == nil {
		return noBeat
	}
	stats := s.Stats()
	b := event.Beat{
		Version: version.Version, Config: set.hash, ConfigState: string(set.state), Clock: time.Now(), Started: i.d.stat.started(),
		Spool: event.SpoolDepth{Bytes: stats.Bytes, Calls: stats.Calls, Oldest: stats.Oldest},
		Lost:  map[string]uint64{},
	}
	for reason, l := range stats.Lost {
		b.Lost[string(reason)] = l.Calls
	}
	i.spoolOwn(ctx, shipper.Heartbeat(&b))
	return every - rand.N(every/20+1) //nolint:gosec // a fleet does not stay in step
}

// spoolOwn spools a call of our own.
func (i *intake) spoolOwn(ctx context.Context, c spool.Call) {
	if err := i.append(ctx, c); err != nil {
		i.d.stat.failed(err)
		i.d.log.Warn("a record of our own is lost", "error", err)
	}
}

// absent marks a time in which osqueryd had no way to us. It is the extension's
// OnAbsent.
func (i *intake) absent(from, to time.Time) {
	i.spoolOwn(context.Background(), shipper.Absence(from, to))
}

// registered is the extension's OnRegistered. After an end that was not orderly
// the first one closes an absence.
func (i *intake) registered(int64) {
	first := i.d.stat.firstRegistration()
	s := i.spool.Load()
	if !first || s == nil || s.Clean() || s.LastSpooled().IsZero() {
		return
	}
	i.absent(s.LastSpooled(), time.Now())
}

// ownLines spools our own warnings and errors as status lines, until ctx ends.
func (i *intake) ownLines(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-i.d.lines:
			payload := line.status()
			if err := i.accept(ctx, extension.Call{Stream: extension.StreamStatus, Type: extension.TypeStatus, Payload: payload}); err != nil {
				i.d.stat.failed(err)
			}
		}
	}
}

func (i *intake) serveMetrics(ctx context.Context) {
	listen := ""
	if cfg := i.d.settings.Load().cfg; cfg != nil {
		listen = cfg.Metrics.Listen
	}
	loggerstat.Serve(ctx, listen, i.snapshot, i.d.log)
}
