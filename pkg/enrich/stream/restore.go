package stream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

var errMissing = errors.New("the broker does not know the partition")

// restorePause is how long to wait before a restore that failed is tried again,
// and progressEvery how often one that runs says how far it is.
const (
	restorePause  = 2 * time.Second
	progressEvery = 2 * time.Second
)

// startRestore brings the worker's state up to date in a goroutine, which stop
// waits for. s.mu is held. A worker that has begun goes on.
func (s *KafkaSession) startRestore(w *worker) {
	if w.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() {
		defer close(w.done)
		store, err := s.restoreUntil(ctx, w.id)
		s.mu.Lock()
		defer s.mu.Unlock()
		w.store, w.err, w.restored = store, err, err == nil
		s.wake()
	}()
}

// restoreUntil tries until it succeeds, ctx ends, or no try would help.
func (s *KafkaSession) restoreUntil(ctx context.Context, id int32) (*state.Store, error) {
	for {
		store, err := s.restore(ctx, id)
		var fatal *FatalError
		if err == nil || ctx.Err() != nil || errors.As(err, &fatal) {
			return store, err
		}
		s.cfg.Log.Error("state not restored, will try again", "partition", id, "error", err)
		select {
		case <-time.After(restorePause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// restore opens the partition's local store and replays what it lacks of the
// state topic. The group's offsets were stable when it began, so whatever they
// stand for is below the high watermark that it asks for now; reading committed
// records up to there waits for transactions that are not yet decided.
func (s *KafkaSession) restore(ctx context.Context, id int32) (store *state.Store, err error) {
	of, start, end, err := s.changelog(ctx, id)
	if err != nil {
		return nil, err
	}
	if store, err = s.openStore(of, start, end); err != nil {
		return nil, err
	}
	if err = s.replay(ctx, store, id, max(store.Position(), start), end); err == nil {
		return store, nil
	}
	if store.Broken() || errors.Is(err, state.ErrFormat) {
		store.Distrust()
	}
	return nil, errors.Join(err, store.Close())
}

// changelog asks for the state topic's id and the partition's bounds.
func (s *KafkaSession) changelog(ctx context.Context, id int32) (of state.Changelog, start, end int64, err error) {
	admin, topic := kadm.NewClient(s.client), s.cfg.StateTopic
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return of, 0, 0, fmt.Errorf("state topic %s: %w", topic, err)
	}
	if err := topics[topic].Err; err != nil {
		return of, 0, 0, fmt.Errorf("state topic %s: %w", topic, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return of, 0, 0, fmt.Errorf("state topic %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return of, 0, 0, fmt.Errorf("state topic %s: %w", topic, err)
	}
	first, ok := starts.Lookup(topic, id)
	last, ok2 := ends.Lookup(topic, id)
	if !ok || !ok2 || first.Err != nil || last.Err != nil {
		return of, 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, id, errorOf(first.Err, last.Err))
	}
	return state.Changelog{Topic: topic, ID: topics[topic].ID, Partition: id}, first.Offset, last.Offset, nil
}

// openStore opens the local store, unless it ends outside of what the changelog
// still has.
func (s *KafkaSession) openStore(of state.Changelog, start, end int64) (*state.Store, error) {
	cfg := state.Config{Format: s.cfg.StateFormat, Of: of}
	if s.cfg.StateDir != "" {
		cfg.Dir = filepath.Join(s.cfg.StateDir, "partitions", of.Topic, strconv.Itoa(int(of.Partition)))
	}
	for {
		store, discarded, err := state.Open(cfg)
		if errors.Is(err, state.ErrInUse) {
			s.cfg.Log.Warn("state is kept in memory, its folder is in use: give each process a state.dir of its own", "folder", cfg.Dir)
			cfg.Dir = ""
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		if discarded != "" {
			s.cfg.Log.Warn("local state discarded, all of it is restored", "partition", of.Partition, "reason", discarded)
		}
		at := store.Position()
		if at == 0 || at >= start && at <= end {
			return store, nil
		}
		s.cfg.Log.Warn("local state discarded, all of it is restored", "partition", of.Partition,
			"reason", fmt.Sprintf("it ends at %d, the state topic goes from %d to %d", at, start, end))
		store.Distrust()
		if err := store.Close(); err != nil {
			return nil, err
		}
	}
}

// replay reads the changelog from next up to end into the store.
func (s *KafkaSession) replay(ctx context.Context, store *state.Store, id int32, next, end int64) error {
	if next >= end {
		return nil
	}
	progress := progress{session: s, status: PartitionStatus{Partition: s.partition(id), Restoring: true}, began: time.Now()}
	opts := append(s.cfg.Connection[:len(s.cfg.Connection):len(s.cfg.Connection)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.cfg.StateTopic: {id: kgo.NewOffset().At(next)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last before the end
		kgo.FetchMaxBytes(maxBytes),
		kgo.FetchMaxPartitionBytes(maxBytes),
		kgo.DisableFetchSessions(),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer client.Close()
	bulk := store.Bulk()
	var changes []state.Change
	for next < end {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("restore %s/%d at %d: %w", s.cfg.StateTopic, id, next, err)
		}
		changes = changes[:0]
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				changes = append(changes, state.Change{Key: r.Key, Value: r.Value})
				progress.status.RestoredBytes += int64(len(r.Key) + len(r.Value))
			}
		})
		if err := bulk.Add(changes, next); errors.Is(err, state.ErrFormat) {
			return &FatalError{err}
		} else if err != nil {
			return err
		}
		progress.step(len(changes), end-next)
	}
	if err := bulk.Close(); err != nil {
		return err
	}
	progress.end()
	return nil
}

// progress tells how far a restore is.
type progress struct {
	session     *KafkaSession
	status      PartitionStatus
	began, told time.Time
}

func (p *progress) step(records int, remaining int64) {
	p.status.Restored += int64(records)
	p.status.Remaining = max(remaining, 0)
	p.session.cfg.Monitor.Partition(p.status)
	if time.Since(p.told) > progressEvery && time.Since(p.began) > progressEvery {
		p.told = time.Now()
		p.session.cfg.Log.Info("restoring state", "partition", p.status.Partition.ID, "records", p.status.Restored, "bytes", p.status.RestoredBytes, "remaining", p.status.Remaining)
	}
}

func (p *progress) end() {
	p.session.cfg.Log.Info("state restored", "partition", p.status.Partition.ID, "records", p.status.Restored, "bytes", p.status.RestoredBytes,
		"in", time.Since(p.began).Round(time.Millisecond))
}
