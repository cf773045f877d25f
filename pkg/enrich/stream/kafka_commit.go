package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// State returns the states of a partition that Poll assigned.
func (s *KafkaSession) State(p Partition) func(operator string) enrich.State {
	return func(operator string) enrich.State { return s.worker(p.ID).store.State(operator) }
}

// Reading tells the state the key of the record that is processed next.
func (s *KafkaSession) Reading(p Partition, key []byte) { s.worker(p.ID).store.Reading(key) }

func (s *KafkaSession) worker(id int32) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers[id]
}

// touched returns the workers that the transaction under way is about.
func (s *KafkaSession) touched() (workers []*worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.ready && w.touched() {
			workers = append(workers, w)
		}
	}
	return workers
}

// Commit writes the outputs and the changes of state, and commits with them the
// offsets of every partition that they are about, polled or not: the group then
// refuses all of it to an owner that has been replaced.
func (s *KafkaSession) Commit(ctx context.Context, outputs []enrich.Output) error {
	began, workers := time.Now(), s.touched()
	for _, w := range workers {
		for topic, src := range w.sources {
			w.store.SetInput(topic, src.next())
		}
		if w.store.Broken() {
			return fmt.Errorf("state of partition %d is damaged: %w", w.id, errDamaged)
		}
	}
	positions := map[*worker]int64{}
	err := s.transact(ctx, outputs, workers, positions)
	s.ended = time.Since(began)
	if err != nil {
		return s.failed(ctx, workers, err)
	}
	s.limits.succeeded()
	s.cfg.Monitor.Ended("committed")
	for _, w := range workers {
		for _, src := range w.sources {
			src.settle()
		}
		if err := w.store.Committed(positions[w]); err != nil {
			return err
		}
	}
	return nil
}

var (
	errDamaged   = errors.New("it is discarded and restored")
	errRebalance = errors.New("the group changed before the commit")
	errOutcome   = errors.New("nobody knows whether the transaction was committed")
)

// transact makes everything durable; positions are filled with the end of each
// worker's changes in the state topic. Its error is errOutcome when it may be.
func (s *KafkaSession) transact(ctx context.Context, outputs []enrich.Output, workers []*worker, positions map[*worker]int64) error {
	if s.txn == nil {
		return s.oneAfterTheOther(ctx, outputs, workers, positions)
	}
	if err := s.txn.Begin(); err != nil {
		return fmt.Errorf("%w: begin: %w", errOutcome, err)
	}
	if err := s.produce(ctx, outputs, workers, positions); err != nil {
		if _, endErr := s.txn.End(ctx, kgo.TryAbort); endErr != nil {
			return fmt.Errorf("%w: abort after %w: %w", errOutcome, err, endErr)
		}
		return err
	}
	ctx = kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error {
		req.Topics = s.transactionOffsets(workers)
		return nil
	})
	// A member that the group has given up would wait here for ever, for a heartbeat
	// that nobody sends: the client tells of the loss only when rebalances are let in
	// again. By then the broker has ended the transaction anyway.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ending)
	defer cancel()
	committed, err := s.txn.End(ctx, kgo.TryCommit)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errOutcome, err)
	case !committed:
		return errRebalance
	}
	return nil
}

func (s *KafkaSession) transactionOffsets(workers []*worker) (topics []kmsg.TxnOffsetCommitRequestTopic) {
	for _, w := range workers {
		for name, src := range w.sources {
			p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			metadata := signed(src.trial.passed(src.next()).metadata(), s.writer)
			p.Partition, p.Offset, p.Metadata = w.id, src.next(), &metadata
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic, topic.Partitions = name, append(topic.Partitions, p)
			topics = append(topics, topic)
		}
	}
	return topics
}

// oneAfterTheOther is transact without a transaction: output, state, offsets. What
// comes between is written twice, under the same ids, over a state that has seen it.
func (s *KafkaSession) oneAfterTheOther(ctx context.Context, outputs []enrich.Output, workers []*worker, positions map[*worker]int64) error {
	if err := s.produce(ctx, outputs, nil, nil); err != nil {
		return err
	}
	if err := s.produce(ctx, nil, workers, positions); err != nil {
		return err
	}
	var marks []mark
	for _, w := range workers {
		for topic, src := range w.sources {
			marks = append(marks, mark{Partition{topic, w.id}, src.next(), src.trial.passed(src.next()).metadata()})
		}
	}
	if err := s.commitOffsets(ctx, marks); err != nil {
		s.cfg.Log.Warn("offsets not committed, the next commit includes them", "error", err)
	}
	return nil
}

// Abort gives back what was polled and could not be processed.
func (s *KafkaSession) Abort(ctx context.Context, cause error) error {
	return s.failed(ctx, s.touched(), cause)
}

// abortPause keeps a refused transaction from being tried in a tight loop. One that a
// change of the group ended is tried sooner: the partitions that stay stand still until
// then.
const (
	abortPause     = time.Second
	rebalancePause = 200 * time.Millisecond
)

// failed puts the transaction's records back and forgets its changes of state.
// The error it returns is ErrAborted when this session can go on.
func (s *KafkaSession) failed(ctx context.Context, workers []*worker, err error) error {
	cause := s.causeOf(err)
	s.cfg.Monitor.Ended(cause)
	if cause == "timeout" {
		s.limits.timedOut()
	}
	broken := false
	for _, w := range workers {
		w.store.Discard()
		if errors.Is(err, errOutcome) {
			w.store.Distrust()
		}
		broken = broken || w.store.Broken()
		for topic, src := range w.sources {
			src.putBack(topic, w.id, cause, err)
		}
	}
	if broken || errors.Is(err, errOutcome) {
		return err
	}
	pause := s.cfg.pause
	if cause == "rebalance" {
		pause = min(pause, rebalancePause)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return fmt.Errorf("%w: %w", ErrAborted, err)
}

// putBack makes the records handed out the next to be handed out, and notes what
// their failure says of them.
func (src *source) putBack(topic string, id int32, cause string, err error) {
	var record *RecordError
	switch {
	case src.handed == 0:
	case errors.As(err, &record):
		if record.Position.Topic == topic && record.Position.Partition == id {
			src.trial = src.trial.failedAt(record.Position.Offset)
		}
	case cause == "refused":
		src.trial = src.trial.failed(src.queue[0].Position.Offset, src.next())
	}
	src.handed = 0
}

// causeOf names the kind of thing a transaction failed of. Only "processing" and
// "refused" say anything of its records.
func (s *KafkaSession) causeOf(err error) string {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	var record *RecordError
	switch {
	case is(context.Canceled, context.DeadlineExceeded, kgo.ErrClientClosed):
		return "stopped"
	case errors.As(err, &record):
		return "processing"
	case is(errRebalance, kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID):
		return "rebalance"
	case s.ended >= transactionTimeout, is(kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.TransactionAbortable):
		return "timeout"
	case is(kerr.MessageTooLarge, kerr.InvalidRecord, kerr.RecordListTooLarge, kerr.InvalidTimestamp):
		return "refused"
	case is(errOutcome):
		return "unknown"
	}
	return "broker"
}

// rewind ends an empty transaction, which makes the session forget that
// partitions were revoked. The client goes back to its last commit; what it
// fetches twice is not taken twice.
func (s *KafkaSession) rewind(ctx context.Context) error {
	if s.txn == nil {
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

// produce writes outputs and changes of state and waits until the broker has them;
// the first error ends it.
func (s *KafkaSession) produce(ctx context.Context, outputs []enrich.Output, workers []*worker, positions map[*worker]int64) error {
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
	last := make([]*kgo.Record, len(workers))
	for i, w := range workers {
		for _, change := range w.store.Changes() {
			last[i] = s.change(w.id, change)
			s.client.Produce(ctx, last[i], promise.Promise())
		}
	}
	// Flush before awaiting the promises: within a transaction nothing else
	// starts the last batch at once.
	if err := s.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := promise.Err(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for i, r := range last {
		if r != nil {
			positions[workers[i]] = r.Offset + 1
		}
	}
	return nil
}

func (s *KafkaSession) change(id int32, c state.Change) *kgo.Record {
	return &kgo.Record{Topic: s.cfg.StateTopic, Partition: id, Key: c.Key, Value: c.Value}
}

// recordOverhead is more than what headers and framing add to a record.
const recordOverhead = 1024

func record(topic string, o *enrich.Output) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: o.Partition, Key: o.Key, Value: o.Value, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(o.ID)},
		{Key: "kind", Value: []byte(o.Kind)},
		{Key: "schema", Value: []byte(o.Schema)},
	}}
}
