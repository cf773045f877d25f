package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Commit writes the outputs and commits the offsets of what was polled last.
func (s *KafkaSession) Commit(ctx context.Context, outputs []enrich.Output) error {
	if s.txn == nil {
		return s.commitAfter(ctx, outputs)
	}
	if err := s.txn.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := s.produce(ctx, outputs); err != nil {
		if _, endErr := s.txn.End(ctx, kgo.TryAbort); endErr != nil {
			return fmt.Errorf("abort transaction after %w: %w", err, endErr)
		}
		return s.aborted(ctx, err)
	}
	committed, err := s.txn.End(ctx, kgo.TryCommit)
	switch {
	case err != nil:
		return fmt.Errorf("commit transaction: %w", err)
	case !committed:
		return fmt.Errorf("%w: the group changed before the commit", ErrAborted)
	}
	return nil
}

// commitAfter is Commit without a transaction: output first, then offsets. What
// comes between is written twice, under the same ids.
func (s *KafkaSession) commitAfter(ctx context.Context, outputs []enrich.Output) error {
	if err := s.produce(ctx, outputs); err != nil {
		s.client.SetOffsets(s.client.CommittedOffsets())
		return s.aborted(ctx, err)
	}
	if err := s.client.CommitUncommittedOffsets(ctx); err != nil {
		s.cfg.Log.Warn("offsets not committed, the next commit includes them", "error", err)
	}
	return nil
}

// abortPause keeps a refused transaction from being tried in a tight loop.
const abortPause = time.Second

func (s *KafkaSession) aborted(ctx context.Context, cause error) error {
	select {
	case <-time.After(abortPause):
	case <-ctx.Done():
	}
	return fmt.Errorf("%w: %w", ErrAborted, cause)
}

// rewind ends an empty transaction, which returns the session to the committed
// offsets and makes it forget that partitions were revoked.
func (s *KafkaSession) rewind(ctx context.Context) error {
	if s.txn == nil {
		s.client.SetOffsets(s.client.CommittedOffsets())
		return nil
	}
	if err := s.txn.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if _, err := s.txn.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
}

// produce writes all outputs and waits until the broker has them; the first
// error ends it.
func (s *KafkaSession) produce(ctx context.Context, outputs []enrich.Output) error {
	promise := kgo.AbortingFirstErrPromise(s.client)
	limit := s.cfg.maxRecordBytes()
	for i := range outputs {
		o := &outputs[i]
		if len(o.Key)+len(o.Value)+recordOverhead > limit {
			s.cfg.Log.Warn("output too large for its topic, dead-lettered", "stream", o.Stream, "id", o.ID, "bytes", len(o.Value))
			o = enrich.Oversized(o, limit)
		}
		s.client.Produce(ctx, record(s.cfg.Outputs[o.Stream], o), promise.Promise())
	}
	// Flush before awaiting the promises: within a transaction nothing else
	// starts the last batch at once.
	if err := s.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := promise.Err(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

// recordOverhead is more than what headers and framing add to a record.
const recordOverhead = 1024

func record(topic string, o *enrich.Output) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: o.Key, Value: o.Value, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(o.ID)},
		{Key: "kind", Value: []byte(o.Kind)},
		{Key: "schema", Value: []byte(o.Schema)},
	}}
}
