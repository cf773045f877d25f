package stream

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// witness is a balancer that shows each assignment as a whole. The transact
// session tells of a revocation only once between two transactions; what it does
// not tell is seen here, before anything is committed for a partition that has
// gone.
type witness struct {
	kgo.GroupBalancer
	note func(map[string][]int32)
}

func (w *witness) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	m, err := w.GroupBalancer.ParseSyncAssignment(assignment)
	if err == nil {
		w.note(m)
	}
	return m, err //nolint:wrapcheck // the balancer's own
}

func (s *KafkaSession) note(m map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assigned = make(map[string][]int32, len(m))
	for topic, ids := range m {
		s.assigned[topic] = slices.Clone(ids)
	}
	s.wake()
}

// assign makes workers for partitions that have come. They are not fetched until
// their state is there.
func (s *KafkaSession) assign(m map[string][]int32) {
	<-s.opened
	s.revoke(s.held(m)) // what went and came back without a word
	s.client.PauseFetchPartitions(m)
	if s.fencer != nil {
		s.fencer.start(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range m {
		for _, id := range ids {
			w := s.workers[id]
			if w == nil {
				w = &worker{id: id, sources: map[string]*source{}, done: make(chan struct{})}
				s.workers[id] = w
			}
			w.sources[topic] = &source{topic: topic, patience: s.cfg.patience}
			s.cfg.Monitor.Partition(PartitionStatus{Partition: s.partition(id), Restoring: true})
		}
	}
}

// held returns those of m that a worker is believed to hold.
func (s *KafkaSession) held(m map[string][]int32) map[string][]int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string][]int32{}
	for topic, ids := range m {
		for _, id := range ids {
			if w := s.workers[id]; w != nil && w.sources[topic] != nil {
				found[topic] = append(found[topic], id)
			}
		}
	}
	return found
}

// revoke ends the workers of partitions that go, and waits for them: when it
// returns, nothing of them runs and their folders are free.
func (s *KafkaSession) revoke(m map[string][]int32) {
	if len(m) == 0 {
		return
	}
	s.client.ResumeFetchPartitions(m)
	for _, w := range s.remove(m) {
		s.stop(w)
	}
}

// remove takes the partitions from their workers, and returns the workers that
// have none left.
func (s *KafkaSession) remove(m map[string][]int32) (ended []*worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range m {
		for _, id := range ids {
			w := s.workers[id]
			if w == nil || w.sources[topic] == nil {
				continue
			}
			s.unsettled = true
			delete(w.sources, topic)
			delete(s.commits, Partition{topic, id})
			if len(w.sources) == 0 {
				delete(s.workers, id)
				s.revoked = append(s.revoked, s.partition(id))
				ended = append(ended, w)
			}
		}
	}
	s.wake()
	return ended
}

// stop ends a worker that no longer is one of the session's.
func (s *KafkaSession) stop(w *worker) {
	if w.cancel != nil {
		w.cancel()
		<-w.done
	}
	s.cfg.Monitor.Gone(s.partition(w.id))
	if w.store == nil {
		return
	}
	if err := w.store.Close(); err != nil {
		s.cfg.Log.Warn("state not kept on disk, it will be restored", "partition", w.id, "error", err)
	}
}

// partition is the name that a worker has for the pipelines.
func (s *KafkaSession) partition(id int32) Partition { return Partition{s.cfg.Inputs[0], id} }

// fetchedOffsets keeps what the group has committed, with the metadata.
func (s *KafkaSession) fetchedOffsets(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, group := range resp.Groups {
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				c := commit{offset: p.Offset}
				if p.Metadata != nil {
					c.metadata = *p.Metadata
				}
				s.commits[Partition{topic.Topic, p.Partition}] = c
			}
		}
	}
	return nil
}

// begin decides where reading begins, now that the group's offsets are stable,
// and starts restoring. A place that the topic no longer has is left for the
// first that it has.
func (s *KafkaSession) begin(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-s.opened
	admin := kadm.NewClient(s.client)
	starts, err := admin.ListStartOffsets(ctx, s.cfg.Inputs...)
	if err != nil {
		return nil, fmt.Errorf("start of the inputs: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, s.cfg.Inputs...)
	if err != nil {
		return nil, fmt.Errorf("end of the inputs: %w", err)
	}
	topics, err := admin.ListTopics(ctx, s.cfg.Inputs...)
	if err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topicIDs = make(map[string][16]byte, len(topics))
	for name, topic := range topics {
		s.topicIDs[name] = topic.ID
	}
	for topic, ids := range offsets {
		for id, offset := range ids {
			start, ok := starts.Lookup(topic, id)
			end, ok2 := ends.Lookup(topic, id)
			if !ok || !ok2 || start.Err != nil || end.Err != nil {
				return nil, fmt.Errorf("bounds of %s/%d: %w", topic, id, errorOf(start.Err, end.Err))
			}
			w := s.workers[id]
			if w == nil || w.sources[topic] == nil {
				continue // gone again
			}
			src := w.sources[topic]
			at := src.settleIn(s.commits[Partition{topic, id}], start.Offset, end.Offset)
			if t := src.trial; t.active() {
				s.cfg.Log.Warn("who had the partition died over these records, or failed: they are tried apart", "topic", topic, "partition", id, "from", t.From, "to", t.To, "at_once", t.Size)
			}
			if at != offset.EpochOffset().Offset {
				offset = kgo.NewOffset().At(at)
			}
			ids[id] = offset
			s.startRestore(w)
		}
	}
	return offsets, nil
}

func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return errMissing
}

// settleIn notes what the group had committed and returns where to read from,
// given the topic's bounds.
func (src *source) settleIn(c commit, start, end int64) int64 {
	src.begun, src.had = true, c.offset >= 0
	src.committed = start
	if src.had && c.offset >= start && c.offset <= end {
		src.committed = c.offset
	}
	if src.had {
		src.trial = parseTrial(c.metadata, src.committed)
		if src.trial.Begun {
			src.trial = src.trial.died()
		}
	}
	src.start, src.fetched, src.high = src.committed, src.committed, end
	if src.had && c.offset != src.committed {
		src.start = c.offset // welcome tells of the gap
	}
	return src.committed
}
