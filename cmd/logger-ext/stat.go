package main

import (
	"context"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggerstat"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/internal/version"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// stat gathers what only the daemon sees, for the table, the metrics and
// heartbeats. It is safe for concurrent use.
type stat struct {
	made shipper.Counters

	mu         sync.Mutex
	start      time.Time
	registered bool // once, at least

	state      loggerstat.ShippingState
	stateSince time.Time
	stateWhy   string
	// failing is when the failures under way began; zero without any.
	failing time.Time

	sentRecords, sentBytes, failures, retries uint64
	lastSend                                  time.Time
	lag                                       time.Duration
	lastError                                 string
	lastErrorAt                               time.Time
}

// started is when the process began, as far as is known here: at the first call.
func (s *stat) started() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.start.IsZero() {
		s.start = time.Now()
	}
	return s.start
}

// firstRegistration tells whether this registration is the process's first.
func (s *stat) firstRegistration() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.registered
	s.registered = true
	return first
}

// failed remembers an error for whoever asks what was last wrong.
func (s *stat) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteError(err)
}

func (s *stat) noteError(err error) {
	s.lastError, s.lastErrorAt = err.Error(), time.Now()
}

// shipping notes what shipping does now, and why.
func (s *stat) shipping(state loggerstat.ShippingState, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setShipping(state, why)
}

func (s *stat) setShipping(state loggerstat.ShippingState, why error) {
	if s.state != state {
		s.state, s.stateSince = state, time.Now()
	}
	if s.stateWhy = ""; why != nil {
		s.stateWhy = why.Error()
	}
}

// sendFailed is sink.RetryConfig's OnFailure: what heals by itself is a failure,
// what somebody has to mend holds the line.
func (s *stat) sendFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteError(err)
	s.failures++
	if s.failing.IsZero() {
		s.failing = time.Now()
	}
	if kafka.NeedsHand(err) || kinesis.NeedsHand(err) {
		s.setShipping(loggerstat.ShippingHeld, err)
	}
}

// meter returns a sink that counts what next delivers.
func (s *stat) meter(next sink.Sink) sink.Sink { return &meter{s, next} }

type meter struct {
	stat *stat
	next sink.Sink
}

// Write implements sink.Sink.
func (m *meter) Write(ctx context.Context, batch []sink.Record) error {
	m.stat.sending()
	err := m.next.Write(ctx, batch)
	if err == nil {
		m.stat.sent(batch)
	}
	return err
}

// Close implements sink.Sink.
func (m *meter) Close(ctx context.Context) error { return m.next.Close(ctx) }

func (s *stat) sending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing.IsZero() {
		s.retries++
	}
}

func (s *stat) sent(batch []sink.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.lastSend = time.Time{}, time.Now()
	s.sentRecords += uint64(len(batch))
	for _, r := range batch {
		s.sentBytes += uint64(len(r.Key) + len(r.Value))
	}
	if len(batch) > 0 {
		s.lag = s.lastSend.Sub(batch[0].Time)
	}
	s.setShipping(loggerstat.ShippingRunning, nil)
}

// snapshot is what logger-ext tells of itself now.
func (i *intake) snapshot() loggerstat.Snapshot {
	set, c := i.d.settings.Load(), &i.d.counters
	s := loggerstat.Snapshot{
		Version: version.Version, ConfigHash: set.hash, ConfigState: set.state,
		Registrations: c.Registrations.Load(), Absences: c.Absences.Load(),
		CallsAccepted: c.Accepted.Load(), CallsFailed: c.Failed.Load() + c.Panics.Load(),
		Lost: map[string]loggerstat.Lost{}, DeadLetters: i.d.stat.made.LettersByReason(), Markers: i.d.stat.made.Markers.Load(),
	}
	s.RegisteredSince, s.Registered = c.RegisteredSince()
	i.d.stat.fill(&s)
	i.fillSpool(&s)
	return s
}

func (s *stat) fill(into *loggerstat.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	into.ShippingState, into.ShippingSince, into.ShippingWhy, into.FailingSince = s.state, s.stateSince, s.stateWhy, s.failing
	into.SentRecords, into.SentBytes, into.SendFailures, into.Retries = s.sentRecords, s.sentBytes, s.failures, s.retries
	into.LastSend, into.AckLag, into.LastError, into.LastErrorTime = s.lastSend, s.lag, s.lastError, s.lastErrorAt
}

func (i *intake) fillSpool(into *loggerstat.Snapshot) {
	s := i.spool.Load()
	if s == nil {
		i.fillWaiting(into)
		return
	}
	stats := s.Stats()
	into.Agent, into.Run = s.Agent(), s.Run()
	into.SpoolBytes, into.WaitingCalls, into.WaitingBytes, into.Oldest = stats.OnDisk, stats.Calls, stats.WaitingBytes, stats.Oldest
	into.HeldCalls, into.HeldBytes = uint64(stats.HeldCalls), stats.HeldBytes
	if into.UnwritableSince = stats.UnwritableSince; stats.Unwritable != nil {
		into.UnwritableWhy = stats.Unwritable.Error()
	}
	into.Syncs, into.SyncLast, into.SyncTotal = stats.Syncs.Count, stats.Syncs.Last, stats.Syncs.Total
	for reason, l := range stats.Lost {
		into.Lost[string(reason)] = loggerstat.Lost{Calls: l.Calls, Bytes: uint64(max(0, l.Bytes))}
	}
}

// fillWaiting tells of a spool that could not be opened.
func (i *intake) fillWaiting(into *loggerstat.Snapshot) {
	i.mu.Lock()
	defer i.mu.Unlock()
	into.UnwritableSince, into.UnwritableWhy = i.d.stat.started(), "the spool does not open: "+into.LastError
	into.HeldCalls, into.HeldBytes = uint64(len(i.waiting.calls)), i.waiting.bytes
	var lost loggerstat.Lost
	for _, l := range i.waiting.lost {
		lost.Calls, lost.Bytes = lost.Calls+l.calls, lost.Bytes+uint64(l.bytes)
	}
	if lost.Calls > 0 {
		into.Lost["unwritable"] = lost
	}
}
