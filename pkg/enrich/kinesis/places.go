package kinesis

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// placesState is the operator under which places are kept: by the offset, in 8 bytes.
const placesState = "places"

const (
	placeFormat = 1
	// placeEvery is how far places are apart: what lies between one and a range is read
	// for nothing.
	placeEvery = time.Minute
)

// place says where in a shard the record with an offset is, which counts the records of
// the shard as they are taken apart: it is the first behind a checkpoint.
type place struct {
	offset int64
	behind lease.Checkpoint
	noted  time.Time
}

// places are those of the time that is looked back at, in order. They are safe for
// concurrent use: what is read again is read beside what comes.
type places struct {
	mu  sync.Mutex
	all []place
}

// before is the last place from which a record is reached.
func (p *places) before(offset int64) (at place, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, found := slices.BinarySearchFunc(p.all, offset, func(at place, offset int64) int { return int(min(1, max(-1, at.offset-offset))) })
	if !found {
		i--
	}
	if i < 0 {
		return at, false
	}
	return p.all[i], true
}

// loadPlaces finds the places again that the state has.
func (s *session) loadPlaces() error {
	s.places = &places{}
	err := s.store.State(placesState).Scan("", nil, func(key, value []byte) error {
		r := compact.NewReader(value)
		r.Format(placeFormat)
		at := place{noted: r.Time(), behind: lease.Checkpoint{Sequence: r.Text(), Sub: r.Signed()}}
		if len(key) != 8 {
			return fmt.Errorf("%x is no offset", key)
		}
		at.offset = int64(binary.BigEndian.Uint64(key))
		s.places.all = append(s.places.all, at)
		return r.Err()
	})
	if err != nil {
		return fmt.Errorf("places in the shard: %w", err)
	}
	return nil
}

// notePlace keeps where the next batch begins, once a minute, and forgets places that
// nothing is read from again.
func (s *session) notePlace(to lease.Progress, now time.Time) error {
	if s.cfg.LookBack <= 0 {
		return nil
	}
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	if len(s.places.all) == 0 && (s.at.Number() || s.at.Sequence == lease.TrimHorizon) {
		if err := s.putPlace(place{s.offset, s.at, now}); err != nil {
			return err
		}
	}
	if n := len(s.places.all); n > 0 && now.Sub(s.places.all[n-1].noted) < placeEvery || !to.Number() {
		return nil
	}
	if err := s.putPlace(place{to.Offset, to.Checkpoint, now}); err != nil {
		return err
	}
	for len(s.places.all) > 1 && now.Sub(s.places.all[1].noted) > s.cfg.LookBack+2*placeEvery {
		if err := s.store.State(placesState).Delete("", offsetKey(s.places.all[0].offset)); err != nil {
			return fmt.Errorf("places in the shard: %w", err)
		}
		s.places.all = s.places.all[1:]
	}
	return nil
}

func (s *session) putPlace(at place) error {
	value := compact.Signed(compact.Text(compact.Time(compact.Number(nil, placeFormat), at.noted), at.behind.Sequence), at.behind.Sub)
	if err := s.store.State(placesState).Put("", offsetKey(at.offset), value); err != nil {
		return fmt.Errorf("places in the shard: %w", err)
	}
	s.places.all = append(s.places.all, at)
	return nil
}

func offsetKey(offset int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(offset)) }

// Again reads a range of the shard once more, by calls of its own, from the last place
// before it. What retention has taken is left out.
func (s *session) Again(ctx context.Context, _ stream.Partition, r enrich.Range, visit func(enrich.Input) error) error {
	from, ok := s.places.before(r.From)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer func() {
		cancel()
		reading.Wait()
	}()
	again := s.newReader(nil)
	reading.Go(func() { again.run(ctx, from.behind) })
	for next := from.offset; ; {
		select {
		case p := <-again.pages:
			for i := range p.records {
				if next >= r.To {
					return nil
				}
				if next >= r.From {
					if err := visit(s.placed(p.records[i].Input, next)); err != nil {
						return err
					}
				}
				next++
			}
			if next >= r.To || p.tip || p.ended {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
