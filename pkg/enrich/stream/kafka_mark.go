package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mark is an offset to commit with its metadata.
type mark struct {
	partition Partition
	offset    int64
	metadata  string
}

// mark tells the group that records are about to be tried, where it does not know
// that this owner lives or where they are under suspicion: who finds the mark
// after a kill counts one more death. That it cannot be told stops nobody.
func (s *KafkaSession) mark(ctx context.Context) error {
	s.mu.Lock()
	var marks []mark
	for id, w := range s.workers {
		for topic, src := range w.sources {
			if src.handed == 0 || !src.had || src.marked && !src.trial.active() {
				continue
			}
			src.marked = true
			t := src.trial
			if first := src.queue[0].Position.Offset; !t.active() || first < t.From {
				t = trial{From: first, To: src.next(), Size: src.next() - first}
			}
			t.Begun = true
			marks = append(marks, mark{Partition{topic, id}, src.committed, signed(t.metadata(), s.writer)})
		}
	}
	s.mu.Unlock()
	if len(marks) == 0 {
		return nil
	}
	if err := s.commitOffsets(ctx, marks); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("could not note the begin of an attempt", "error", err)
	}
	return ctx.Err()
}

// commitOffsets commits outside of a transaction, as the member of the group that
// this session is now.
func (s *KafkaSession) commitOffsets(ctx context.Context, marks []mark) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = s.cfg.Group
	req.MemberID, req.Generation = s.client.GroupMetadata()
	for i := range marks {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = marks[i].partition.ID, marks[i].offset, &marks[i].metadata
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic, topic.TopicID = marks[i].partition.Topic, s.topicID(marks[i].partition.Topic)
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit offset of %s/%d: %w", topic.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// topicID is the input's id, by which newer brokers know it.
func (s *KafkaSession) topicID(topic string) [16]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topicIDs[topic]
}
