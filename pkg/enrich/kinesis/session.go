package kinesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// Bounds of one batch: it ends at whichever comes first. idleWait is how long Poll
// waits when nothing comes.
const (
	maxRecords = 10_000
	maxBytes   = 8 << 20
	idleWait   = time.Second
	abortPause = time.Second
	// triesAlone is how often a record may fail before it is given up.
	triesAlone = 2
)

var errAsked = errors.New("the lease is asked for")

// session is one shard, for as long as its lease is held. It implements
// stream.Session.
type session struct {
	cfg     *Config
	held    *lease.Held
	part    stream.Partition
	hashes  kpl.HashRange
	log     *slog.Logger
	store   *state.Store
	journal *journal.Journal // nil when state is not kept
	places  *places
	out     Deliverer

	reading sync.WaitGroup
	stop    context.CancelFunc // ends the reader
	pages   chan page

	begun  bool
	queue  []placed
	handed int
	at     lease.Checkpoint // of the last record committed
	offset int64            // of the first record of the queue
	epoch  int64
	sent   bool  // all that was committed is delivered
	ended  *page // the shard's last

	// suspect is a record that could not be processed, and tries how often.
	suspect int64
	tries   int
	cause   string
}

// read starts the reader, which close waits for.
func (s *session) read() {
	ctx, cancel := context.WithCancel(context.Background())
	r := s.newReader(s.cfg.FanOut)
	s.stop, s.pages = cancel, r.pages
	from := s.held.Checkpoint
	s.reading.Go(func() { r.run(ctx, from) })
}

// newReader returns one of the shard; nil asks for records.
func (s *session) newReader(pushed *FanOut) *reader {
	return &reader{
		client: s.cfg.Client, fanOut: pushed, stream: s.cfg.Stream, shard: s.held.Key, idle: s.cfg.Poll, pages: make(chan page), log: s.log,
		unpack: Unpacker{Source: s.cfg.Stream + "/" + s.held.Key, Hashes: s.hashes},
	}
}

// close ends the reader and frees what the session holds. Nothing is written.
func (s *session) close(ctx context.Context) error {
	if s.stop != nil {
		s.stop()
		s.reading.Wait()
	}
	var err error
	if s.out != nil {
		err = s.out.Close(ctx)
	}
	if s.cfg.Monitor != nil {
		s.cfg.Monitor.Gone(s.part)
	}
	if s.store == nil {
		return err
	}
	s.store.Distrust() // nobody needs the copy again
	return errors.Join(err, s.store.Close())
}

// whileHeld returns a context that ends with ctx, or with the lease.
func (s *session) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-s.held.Lost():
			cancel(lease.ErrLost)
		case <-done:
		}
	})
	return ctx, func() { close(done); watch.Wait(); cancel(nil) }
}

// State returns the shard's states.
func (s *session) State(stream.Partition) func(operator string) enrich.State {
	return func(operator string) enrich.State { return s.store.State(operator) }
}

// Reading tells the state the partition key of the record that is processed next.
func (s *session) Reading(_ stream.Partition, key []byte) { s.store.Reading(key) }

// Reread shows nothing: the pipelines of Kinesis keep what they need in their state.
func (s *session) Reread(context.Context, stream.Partition, string, int64, func(enrich.Input) error) error {
	return nil
}

// Poll gathers the next batch. Its errors, at the end of a batch, are errAsked, and
// errEnded when all of the shard was processed.
func (s *session) Poll(ctx context.Context) (stream.Polled, error) {
	if !s.begun {
		s.begun = true
		return stream.Polled{Assigned: []stream.Partition{s.part}}, nil
	}
	if err := s.gather(ctx); err != nil {
		return stream.Polled{}, err
	}
	if len(s.queue) == 0 && s.ended != nil {
		return stream.Polled{}, errEnded
	}
	return stream.Polled{Batches: s.hand()}, nil
}

// gather takes pages in until there is enough, or for as long as a batch lingers after
// its first record; without any it returns after a second.
func (s *session) gather(ctx context.Context) error {
	idle := time.NewTimer(idleWait)
	defer idle.Stop()
	var linger <-chan time.Time
	for {
		if len(s.queue) > 0 && linger == nil {
			timer := time.NewTimer(s.cfg.Linger)
			defer timer.Stop()
			linger = timer.C
		}
		pages := s.pages
		if s.ended != nil || s.full() {
			return s.interrupted(ctx)
		}
		select {
		case p := <-pages:
			s.takeIn(&p)
		case <-linger:
			return s.interrupted(ctx)
		case <-idle.C:
			if len(s.queue) == 0 {
				return s.interrupted(ctx)
			}
		case <-s.held.Asked():
			return errAsked
		case <-s.held.Lost():
			return lease.ErrLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// interrupted is why no batch may be begun, if so.
func (s *session) interrupted(ctx context.Context) error {
	select {
	case <-s.held.Lost():
		return lease.ErrLost
	case <-s.held.Asked():
		return errAsked
	case <-ctx.Done():
		return ctx.Err()
	default:
		return nil
	}
}

func (s *session) full() bool {
	size := 0
	for i := range s.queue {
		size += len(s.queue[i].Input.Value)
	}
	return len(s.queue) >= maxRecords || size >= maxBytes
}

// takeIn appends a page to the queue.
func (s *session) takeIn(p *page) {
	for _, r := range p.records {
		r.Input = s.placed(r.Input, s.offset+int64(len(s.queue)))
		s.queue = append(s.queue, r)
	}
	if p.ended {
		s.ended = p
	}
	if s.cfg.Monitor != nil {
		s.cfg.Monitor.Partition(stream.PartitionStatus{Partition: s.part, Lag: int64(len(s.queue)), StateBytes: s.store.Bytes()})
	}
}

// placed is a record as a pipeline takes it: by what it is, and with its offset.
func (s *session) placed(in enrich.Input, offset int64) enrich.Input {
	in.Sensor = s.cfg.Sensor
	in.Side = s.cfg.Sides && in.Broken == nil && enrich.IsSide(in.Value)
	in.Position = enrich.Position{Topic: s.cfg.Stream, Partition: s.part.ID, Offset: offset}
	return in
}

// hand moves the next records into the batch: up to one under suspicion, or that one
// alone.
func (s *session) hand() []stream.Batch {
	n, size := 0, 0
	for n < min(maxRecords, len(s.queue)) && size < maxBytes {
		size += len(s.queue[n].Input.Value)
		n++
	}
	poison := ""
	if first := s.offset; s.tries > 0 && s.suspect >= first && s.suspect < first+int64(n) {
		if n = int(s.suspect - first); n == 0 {
			n = 1
			if s.tries >= triesAlone {
				poison = s.cause
				s.log.Error("record given up, dead-lettered", "record", s.queue[0].Input.Name, "reason", poison)
			}
		}
	}
	s.handed = n
	if n == 0 {
		return nil
	}
	records := make([]enrich.Input, n)
	for i := range records {
		records[i] = s.queue[i].Input
	}
	return []stream.Batch{{Partition: s.part, Records: records, Poison: poison}}
}

// Abort gives the batch back.
func (s *session) Abort(ctx context.Context, cause error) error {
	s.store.Discard()
	s.handed = 0
	var record *stream.RecordError
	if errors.As(cause, &record) && ctx.Err() == nil {
		if at := record.Position.Offset; at == s.suspect && s.tries > 0 {
			s.tries++
		} else {
			s.suspect, s.tries = at, 1
		}
		s.cause = fmt.Sprintf("failed %d times: %v", s.tries, record.Err)
	}
	s.count("processing")
	if s.store.Broken() {
		return cause
	}
	select {
	case <-time.After(abortPause):
	case <-ctx.Done():
	}
	return fmt.Errorf("%w: %w", stream.ErrAborted, cause)
}

func (s *session) count(how string) {
	if s.cfg.Monitor != nil {
		s.cfg.Monitor.Ended(how)
	}
}
