package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// idleWait is how long Poll waits when nothing comes.
const idleWait = time.Second

// Poll waits for records, or for partitions to come or go. It gathers for a
// moment, so that a trickle does not make a transaction of every record.
func (s *KafkaSession) Poll(ctx context.Context) (Polled, error) {
	s.client.AllowRebalance()
	if err := s.gather(ctx); err != nil {
		return Polled{}, err
	}
	// From here to the next Poll the client lets no rebalance in.
	s.reconcile()
	polled, unsettled := s.news()
	if unsettled {
		// The session would abort its next transaction; ending one now, while
		// it holds nothing, costs less.
		if err := s.rewind(ctx); err != nil {
			return polled, err
		}
	}
	if err := s.welcome(&polled); err != nil {
		return polled, err
	}
	polled.Batches = s.hand()
	return polled, s.mark(ctx)
}

// reconcile ends workers of partitions that went without a word.
func (s *KafkaSession) reconcile() {
	s.mu.Lock()
	gone := map[string][]int32{}
	for id, w := range s.workers {
		for topic := range w.sources {
			if !slices.Contains(s.assigned[topic], id) {
				gone[topic] = append(gone[topic], id)
			}
		}
	}
	s.mu.Unlock()
	s.revoke(gone)
}

// news returns what went since it was last asked.
func (s *KafkaSession) news() (polled Polled, unsettled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	polled.Revoked, unsettled = s.revoked, s.unsettled
	s.revoked, s.unsettled = nil, false
	return polled, unsettled
}

// welcome begins with the workers whose state is there.
func (s *KafkaSession) welcome(polled *Polled) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.workers {
		if w.err != nil {
			return fmt.Errorf("state of partition %d: %w", id, w.err)
		}
		if !w.restored {
			continue
		}
		if !w.ready {
			w.ready = true
			polled.Assigned = append(polled.Assigned, s.partition(id))
		}
		for _, src := range w.sources {
			if err := s.open(w, src); err != nil {
				return err
			}
			polled.Gaps = append(polled.Gaps, src.gaps...)
		}
		s.tell(w)
	}
	return nil
}

// open lets a source be fetched that waited for its worker's state.
func (s *KafkaSession) open(w *worker, src *source) error {
	if src.open || !src.begun {
		return nil
	}
	if err := s.compare(w, src); err != nil {
		return err
	}
	src.open = true
	s.client.ResumeFetchPartitions(map[string][]int32{src.topic: {w.id}})
	return nil
}

func (s *KafkaSession) tell(w *worker) {
	if time.Since(w.status) < statusEvery {
		return
	}
	w.status = time.Now()
	s.cfg.Monitor.Partition(PartitionStatus{
		Partition: s.partition(w.id), Lag: w.lag(), SideLag: w.sources[s.cfg.Side].lag(), Unmerged: w.unmerged, Suspect: w.suspects(), StateBytes: w.store.Bytes(),
	})
}

// compare holds the group's offset to the state, which says what it has seen.
func (s *KafkaSession) compare(w *worker, src *source) error {
	inputs, err := w.store.Inputs()
	if err != nil {
		return err
	}
	if src.had && len(inputs) == 0 {
		if !s.cfg.AcceptStateLoss {
			return &FatalError{fmt.Errorf(`group %s has read partition %d of %s up to offset %d, but %s has no state for it:
what was known of its hosts is lost, or this is another group's topic; start with --accept-state-loss to go on with nothing known`,
				s.cfg.Group, w.id, src.topic, src.start, s.cfg.StateTopic)}
		}
		s.cfg.Log.Warn("going on without state, as asked", "topic", src.topic, "partition", w.id)
	}
	expected := src.start
	seen, known := inputs[src.topic]
	if known {
		expected = seen
	}
	// Without transactions the state may have seen more than the group committed.
	ahead := !s.cfg.ExactlyOnce && src.committed < expected && src.committed == src.start
	if expected != src.committed && (src.had || known) && !ahead {
		s.cfg.Log.Error("input and state disagree", "topic", src.topic, "partition", w.id, "expected", expected, "read_from", src.committed)
		src.gaps = append(src.gaps, InputGap{Partition{src.topic, w.id}, expected, src.committed})
	}
	return nil
}

// gather fetches until the limits of a transaction are met, or until the linger
// after the first record; without any it returns after a second, or once
// partitions have come or gone. When it returns, rebalances are held back.
func (s *KafkaSession) gather(ctx context.Context) error {
	records, bytes, wait := s.limits.now()
	poll, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	s.mu.Unlock()
	lingering := false
	for {
		held, n, size := s.queued()
		if held > 0 && !lingering {
			lingering = true
			timer := time.AfterFunc(wait, cancel)
			defer timer.Stop()
		}
		if n >= records || size >= bytes {
			cancel() // one more poll holds rebalances back and takes nothing
		}
		fetches := s.client.PollRecords(poll, max(records-n, 1))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fetches.IsClientClosed() {
			return kgo.ErrClientClosed
		}
		s.take(fetches)
		s.restrain()
		if poll.Err() != nil {
			s.horizon(ctx)
			return s.hold(ctx)
		}
	}
}

// hold makes sure that rebalances are held back: a poll that has nothing to wait
// for returns with them blocked.
func (s *KafkaSession) hold(ctx context.Context) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	s.take(s.client.PollRecords(over, 1))
	return ctx.Err()
}

// queued counts what is held, and what of it could be handed out now: not what waits
// for another source, and of records under suspicion only the first.
func (s *KafkaSession) queued() (held, records, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		for _, src := range w.sources {
			n, size := w.due(src)
			held, records, bytes = held+len(src.queue), records+n, bytes+size
		}
	}
	return held, records, bytes
}

// take puts what was fetched into the queues.
func (s *KafkaSession) take(fetches kgo.Fetches) {
	fetches.EachError(s.fetchError)
	s.mu.Lock()
	defer s.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		w := s.workers[p.Partition]
		if w == nil || w.sources[p.Topic] == nil {
			return
		}
		src := w.sources[p.Topic]
		src.high = max(src.high, p.HighWatermark)
		for _, r := range p.Records {
			if before := src.fetched; s.takeRecord(src, r) && r.Offset > before && p.LogStartOffset > before {
				// Retention was faster than we.
				src.gaps = append(src.gaps, InputGap{Partition{p.Topic, p.Partition}, before, min(p.LogStartOffset, r.Offset)})
			}
		}
	})
}

// takeRecord queues a record; the end of a transaction only counts as read.
func (s *KafkaSession) takeRecord(src *source, r *kgo.Record) bool {
	if r.Attrs.IsControl() {
		return src.pass(r.Offset)
	}
	return src.take(s.cfg.input(r))
}

// logAppendTime is the timestamp type of a record whose time the broker set.
const logAppendTime = 1

// input is a record as the pipelines take it.
func (c *KafkaConfig) input(r *kgo.Record) enrich.Input {
	in := input(r)
	in.Side, in.Sensor = c.Side != "" && r.Topic == c.Side, slices.Contains(c.Sensors, r.Topic)
	return in
}

func input(r *kgo.Record) enrich.Input {
	in := enrich.Input{Key: r.Key, Value: r.Value, Position: enrich.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	if r.Attrs.TimestampType() == logAppendTime {
		in.Appended = r.Timestamp
	}
	return in
}

// fetchError tells of a partition that cannot be read, at most once a minute:
// the client keeps trying by itself.
func (s *KafkaSession) fetchError(topic string, partition int32, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return
	}
	if time.Since(s.told) < time.Minute {
		return
	}
	s.told = time.Now()
	s.cfg.Log.Error("cannot read, will try again", "topic", topic, "partition", partition, "error", err)
}
