// Package shipper turns spooled calls into records for a sink: it is the
// sink.Source over a spool. One record holds one row, named by its agent, run,
// seq and row, whatever form osqueryd sent it in.
//
// It must never pass over a call: what cannot be taken apart or delivered
// becomes a dead letter, and a marker stands on the topic in the place of
// whatever is missing there. It is strictly first in, first out.
package shipper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// Key chooses what records are keyed by.
type Key string

// The keys there are.
const (
	ByAgent          Key = "agent"
	ByHostIdentifier Key = "host_identifier"
)

// Config says how records are made.
type Config struct {
	// Topics names the topic of the streams results and status; any other
	// stream is itself the name of a topic, given by a route. DeadLetter is
	// where what cannot be shipped goes.
	Topics     map[string]string
	DeadLetter string
	Key        Key
	// BuiltInNames sends osqueryd's lines as they are, one a record, as its own
	// kafka_producer does; names then stand in headers only.
	BuiltInNames bool
	// MaxRecordBytes is the largest record that is sent; larger rows become
	// dead letters.
	MaxRecordBytes int
	// MaxBatchBytes is the size from which a batch is sent, 0 meaning 640 KiB;
	// MaxBatchAge is how long its first call waits for others.
	MaxBatchBytes int
	MaxBatchAge   time.Duration
	// Redact, where set, is run over calls that were spooled before any
	// redaction rules were known, and tells whether anything was hidden: the
	// record then says that it is not what was spooled.
	Redact func(typ byte, payload []byte) (out []byte, hidden bool)
	// OsqueryVersion is asked for the version that status rows carry.
	OsqueryVersion func() string
	// Attic keeps rows whole that are too large to ship.
	Attic *Attic
	// Counters, where set, is counted into.
	Counters *Counters
	Log      *slog.Logger
}

// Limits of one batch, which bound memory and what is sent twice after a crash.
const (
	maxBatchRecords     = 2_000
	defaultMaxBatchSize = 640 << 10
)

// Source hands out batches of records from a spool. It implements sink.Source.
type Source struct {
	cfg   Config
	spool *spool.Spool
	agent string
	start spool.Position // where reading began; its Row is for one frame only
	frame spool.Frame
	call  *call // of frame; nil between calls
	row   int   // the next of call
	prev  map[string]string
	// lastKey is what the last row was keyed by, and so the key of markers.
	lastKey []byte
	// late is set while the call under way was redacted after it was spooled.
	late    bool
	buf     []byte
	builder builder
}

// New returns a Source that begins where the spool was last acknowledged: call
// the spool's Rewind before a second one.
func New(s *spool.Spool, cfg Config) *Source {
	if cfg.MaxBatchBytes <= 0 {
		cfg.MaxBatchBytes = defaultMaxBatchSize
	}
	if cfg.Counters == nil {
		cfg.Counters = &Counters{}
	}
	start := s.Committed()
	prev := maps.Clone(start.Prev)
	if prev == nil {
		prev = map[string]string{}
	}
	return &Source{cfg: cfg, spool: s, agent: start.Agent, start: start, prev: prev}
}

// Next waits for a call and returns records of it and of the calls after it, up
// to the size of a batch, or its age. Its records are valid until it is called
// again.
func (s *Source) Next(ctx context.Context) (sink.Batch, error) {
	if cap(s.buf) > 4*s.cfg.MaxBatchBytes {
		s.buf = nil // a giant row went by
	}
	s.buf = s.buf[:0]
	b := &s.builder
	b.reset()
	var due time.Time
	for !s.full(b) {
		if s.call == nil {
			took, err := s.take(ctx, b, due)
			if err != nil {
				return sink.Batch{}, err
			}
			if !took {
				break
			}
		}
		s.fill(b)
		if due.IsZero() {
			due = time.Now().Add(s.cfg.MaxBatchAge)
		}
	}
	position := s.position()
	return sink.Batch{Records: b.finish(s.buf), Ack: func(err error) error {
		if err != nil {
			return nil //nolint:nilerr // what was not delivered stays in the spool
		}
		if err := s.spool.Commit(position); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		return nil
	}}, nil
}

// Await returns when Next has something to hand out, or with ctx's error.
func (s *Source) Await(ctx context.Context) error {
	if s.call != nil {
		return nil
	}
	if err := s.spool.Await(ctx); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (s *Source) full(b *builder) bool {
	return b.records() >= maxBatchRecords || len(s.buf) >= s.cfg.MaxBatchBytes
}

// take begins the next call, behind the markers of what is missing before it. It
// waits for one until due, or for ever when nothing is in hand (due is zero).
func (s *Source) take(ctx context.Context, b *builder, due time.Time) (bool, error) {
	frame, err := s.next(ctx, due)
	if !due.IsZero() && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	s.frame = frame
	for i := range frame.Missing {
		s.follow(frame.Missing[i].Agent)
		s.mark(b, &frame.Missing[i])
	}
	s.follow(frame.Agent)
	s.redact()
	s.call, s.row = s.open(&s.frame), 0
	if frame.Agent == s.start.Agent && frame.Seq == s.start.Seq+1 {
		s.row = s.start.Row
	}
	return true, nil
}

func (s *Source) next(ctx context.Context, due time.Time) (spool.Frame, error) {
	if !due.IsZero() && !s.spool.Ready() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due)
		defer cancel()
	}
	return s.spool.Next(ctx)
}

// follow goes over to another agent: the spool was copied to another host, which
// has sent nothing yet.
func (s *Source) follow(agent string) {
	if agent != s.agent {
		s.agent, s.prev, s.lastKey = agent, map[string]string{}, nil
	}
}

// redact hides what a call should not have been spooled with: it came when the
// rules were not known.
func (s *Source) redact() {
	s.late = false
	if s.cfg.Redact != nil && s.frame.Rules == 0 && s.frame.Type != TypeOwn {
		s.frame.Payload, s.late = s.cfg.Redact(s.frame.Type, s.frame.Payload)
	}
}

// fill adds records of the call under way until it ends or the batch is full.
func (s *Source) fill(b *builder) {
	c := s.call
	topic := s.topic(c.stream)
	shared := s.headers(c)
	for s.row < c.records && !s.full(b) {
		s.add(b, topic, shared)
		s.row++
	}
	if s.row < c.records {
		return
	}
	s.prev[topic] = callName(s.frame.Run, s.frame.Seq)
	s.call, s.row = nil, 0
	s.frame.Payload = nil // it may be large, and the next call hours away
}

// topic is where a stream goes.
func (s *Source) topic(stream string) string {
	if topic, ok := s.cfg.Topics[stream]; ok {
		return topic
	}
	if stream == "" {
		return s.cfg.Topics[extension.StreamResults]
	}
	return stream
}

// position is where the next batch begins.
func (s *Source) position() spool.Position {
	if s.call == nil {
		return s.frame.After(maps.Clone(s.prev))
	}
	return s.frame.Before(s.row, maps.Clone(s.prev))
}
