package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Changelog names the partition of the changelog that a Store is a copy of. The
// topic's id tells a topic from one that was created anew under its name.
type Changelog struct {
	Topic     string
	ID        [16]byte
	Partition int32
}

// Change is one record of the changelog. A nil Value removes the key. The bytes
// belong to the Store.
type Change struct {
	Key, Value []byte
}

// Store is one partition's state. Writes through its States gather in an overlay,
// which Committed moves to the local store once the transaction that carries
// Changes is confirmed, and Discard forgets. The local store is a copy of the
// changelog up to Position and nothing more: when in doubt it is thrown away.
// It is for one goroutine.
type Store struct {
	db      *pebble.DB
	files   *files
	made    *pebble.Options // that db was opened with
	of      Changelog
	formats formats

	position int64 // the next offset of the changelog that is not in the local store
	scopes   map[string]*scope
	pending  int64 // bytes in the overlay, about
	changes  []Change
	broken   atomic.Bool   // also set by the local store's own goroutines
	harmed   chan struct{} // closed when those could not write
	value    []byte        // scratch of get
	recent   recent

	record []byte               // Kafka key of the record in work
	own    enrich.Host          // whose record that is, once it is told
	known  map[enrich.Host]bool // hosts whose Kafka key is in the state, true where it is their own for sure
}

// State returns the share of the operator of this name, which is not empty. Calls
// with one name return one State.
func (s *Store) State(operator string) enrich.State { return s.scope(operator) }

func (s *Store) scope(operator string) *scope {
	sc := s.scopes[operator]
	if sc == nil {
		sc = &scope{store: s, prefix: appendScope(nil, operator), hosts: map[enrich.Host]map[string][]byte{}}
		s.scopes[operator] = sc
	}
	return sc
}

// Reading tells the Kafka key of the record that is processed next. The host whose it is
// (enrich.Owned) is kept with it, so that its partition can be computed again for another
// number of partitions; and any other that is written to meanwhile, such as one that was
// waited for, where nothing is known of its key. nil is a record without a key.
func (s *Store) Reading(key []byte) { s.record, s.own = key, "" }

// met keeps the Kafka key of a host.
func (s *Store) met(host enrich.Host) error {
	own := host == s.own
	sure, seen := s.known[host]
	if s.record == nil || host == "" || sure || seen && !own {
		return nil
	}
	engine := s.scope(engine)
	kept, err := engine.Get(host, []byte(kafkaKey))
	if err != nil {
		return err
	}
	if kept == nil || own && string(kept) != string(s.record) {
		engine.put(host, []byte(kafkaKey), s.record)
	}
	s.known[host] = own
	return nil
}

// Key returns the Kafka key that the host's records came with, nil when none of
// them had one.
func (s *Store) Key(host enrich.Host) ([]byte, error) {
	return s.scope(engine).Get(host, []byte(kafkaKey))
}

// SetInput notes, as part of the transaction under way, that the topic's records
// before the offset next are processed.
func (s *Store) SetInput(topic string, next int64) {
	s.scope(engine).put("", []byte(positionKeys+topic), binary.AppendUvarint(nil, uint64(next)))
}

// Inputs returns what SetInput noted, by topic; none means that no transaction
// was ever committed with this state.
func (s *Store) Inputs() (map[string]int64, error) {
	inputs := map[string]int64{}
	err := s.scope(engine).Scan("", []byte(positionKeys), func(key, value []byte) error {
		next, n := binary.Uvarint(value)
		if n <= 0 {
			return fmt.Errorf("state: input position %x is no number", value)
		}
		inputs[string(key[len(positionKeys):])] = int64(next)
		return nil
	})
	return inputs, err
}

// Position is the offset in the changelog from which on its records have to be
// restored: 0 for a new Store.
func (s *Store) Position() int64 { return s.position }

// Pending is the size of the transaction's writes in bytes, about.
func (s *Store) Pending() int64 { return s.pending }

// Changes returns the records to write to the changelog in the transaction under
// way: for each key written its last value. They are valid until Committed or
// Discard.
func (s *Store) Changes() []Change {
	s.changes = s.changes[:0]
	for _, sc := range s.scopes {
		s.changes = sc.appendChanges(s.changes)
	}
	// In order they compress better, and the local store takes them faster.
	slices.SortFunc(s.changes, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return s.changes
}

// Committed takes what Changes returned into the local store, now that it is known
// to be in the changelog, whose next record to restore is at position.
func (s *Store) Committed(position int64) error {
	if len(s.changes) == 0 && position <= s.position {
		s.Discard()
		return nil
	}
	err := s.apply(s.changes, max(position, s.position))
	s.Discard()
	return err
}

// Discard forgets the writes of the transaction under way. What operators hold of
// them must be forgotten too.
func (s *Store) Discard() {
	for _, sc := range s.scopes {
		sc.discard()
	}
	s.changes, s.pending = s.changes[:0], 0
	clear(s.known)
}

// Restore takes records of the changelog into the local store, in their order,
// and next as the position after them. No State may be used before the last.
// Its error is ErrFormat for records of a newer format.
func (s *Store) Restore(records []Change, next int64) error {
	for i := range records {
		if _, err := s.readable(&records[i]); err != nil {
			return err
		}
	}
	return s.apply(records, next)
}

// readable refuses a record that this version does not understand, and tells how much of
// its key operator and host are.
func (s *Store) readable(r *Change) (scope int, err error) {
	scope, err = checkKey(r.Key)
	if err == nil && r.Value != nil {
		err = s.formats.reads(r.Value)
	}
	if err != nil {
		return 0, fmt.Errorf("changelog %s/%d: %w", s.of.Topic, s.of.Partition, err)
	}
	return scope, nil
}

// apply writes records and position in one batch: after a kill the local store
// holds both or neither.
func (s *Store) apply(records []Change, position int64) error {
	if s.Broken() {
		return s.failed("write", errHarmed) // Pebble would wait for the disk, for ever
	}
	batch := s.db.NewBatch()
	for _, r := range records {
		var err error
		s.recent.forget(r.Key)
		if r.Value == nil {
			err = batch.Delete(r.Key, nil)
		} else {
			err = batch.Set(r.Key, r.Value, nil)
		}
		if err != nil {
			return s.failed("write", errors.Join(err, batch.Close()))
		}
	}
	err := batch.Set([]byte{metaKey}, metaOf(s.of, position, s.files.now()), nil)
	if err == nil {
		err = batch.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, batch.Close()); err != nil {
		return s.failed("write", err)
	}
	s.position = position
	return nil
}

// get returns what the local store has for key, nil for nothing. It is valid until the
// next call, and not to be changed.
func (s *Store) get(key []byte) ([]byte, error) {
	if value, ok := s.recent.get(key); ok {
		return value, nil
	}
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		s.recent.add(key, nil)
		return nil, nil
	}
	if err != nil {
		return nil, s.failed("read", err)
	}
	s.value = append(s.value[:0], value...)
	s.recent.add(key, s.value)
	if err := closer.Close(); err != nil {
		return nil, s.failed("read", err)
	}
	return s.value, nil
}

// walk shows the local store's keys from lower up to upper.
func (s *Store) walk(lower, upper []byte, visit func(key, value []byte) error) (err error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return s.failed("read", err)
	}
	defer func() { err = s.closeIter(iter, err) }()
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return s.failed("read", err)
		}
		if err := visit(iter.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) closeIter(iter io.Closer, err error) error {
	if closeErr := iter.Close(); closeErr != nil && err == nil {
		return s.failed("read", closeErr)
	}
	return err
}

// All shows every key and value as the changelog has them, but for the transaction
// under way, in byte order, until visit returns an error. The bytes are valid inside
// visit.
func (s *Store) All(visit func(key, value []byte) error) error {
	return s.walk([]byte{metaKey + 1}, nil, visit)
}

// hosts shows the hosts that have keys with this prefix in the local store, by
// leaping from one to the next.
func (s *Store) hosts(prefix []byte, visit func(enrich.Host)) (err error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return s.failed("read", err)
	}
	defer func() { err = s.closeIter(iter, err) }()
	for ok := iter.First(); ok; {
		_, host, _, err := ParseKey(iter.Key())
		if err != nil {
			return s.failed("read", err)
		}
		visit(host)
		ok = iter.SeekGE(after(appendText(slices.Clone(prefix), string(host))))
	}
	return nil
}

// failed marks the local store as not to be believed any more.
func (s *Store) failed(doing string, err error) error {
	s.broken.Store(true)
	return fmt.Errorf("state of %s/%d: %s (the local copy is discarded and restored): %w", s.of.Topic, s.of.Partition, doing, err)
}

// Distrust makes Close throw the local store away: it may not be what the
// changelog holds.
func (s *Store) Distrust() { s.broken.Store(true) }

// Broken tells whether the Store has to be closed and opened again.
func (s *Store) Broken() bool { return s.broken.Load() }

// Bytes is the size of the local store, about.
func (s *Store) Bytes() int64 { return int64(s.db.Metrics().DiskSpaceUsage()) }

// flush puts what is in memory on the disk. One that takes nothing, Pebble tries for ever.
func (s *Store) flush() error {
	if s.Broken() {
		return nil
	}
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	select {
	case <-flushed:
		return nil
	case <-s.harmed:
		return errHarmed
	}
}

var errHarmed = errors.New("the disk does not take it")

// Close ends the Store. What was not committed is gone.
func (s *Store) Close() (err error) {
	if err = errors.Join(s.flush(), s.db.Close()); err != nil {
		s.broken.Store(true)
	}
	if s.Broken() {
		err = errors.Join(err, s.files.remove())
	}
	if err = errors.Join(err, s.files.unlock()); err != nil {
		return fmt.Errorf("state of %s/%d: close: %w", s.of.Topic, s.of.Partition, err)
	}
	return nil
}
