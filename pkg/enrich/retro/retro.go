package retro

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// Feeds are what is in use of the feeds; *reputation.Index implements it.
type Feeds interface {
	// Loads are the feeds that raise alarms, each with when it was loaded.
	Loads() []reputation.InUse
	// Fresh are the hashes, in order, of what a feed first had after a time.
	Fresh(feed string, after int64) []uint64
}

// Config says how far back is looked.
type Config struct {
	// Window is how long after its append a row is still found.
	Window time.Duration
	// Feeds returns what is in use now.
	Feeds func() Feeds
}

// Bounds of one bucket: a time of appends, and values.
const (
	bucketTime = 5 * time.Minute
	maxValues  = 200_000
)

// atOnce is how many buckets one call of Due looks at.
const atOnce = 64

// Keys in the State, all under no host: bucketKey and valuesKey with a bucket's number,
// sweepKey for how far the range that is read again was read.
const (
	bucketKey = 'b'
	valuesKey = 'v'
	sweepKey  = 's'
)

func keyOf(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, number)
}

// Watch implements enrich.Retro for one partition.
type Watch struct {
	cfg   Config
	state enrich.State
	// buckets are those within the window, oldest first. The last is open while values
	// is not nil, which then has what was asked about in it.
	buckets []*bucket
	values  map[uint32]struct{}
	next    uint64 // number of the next bucket
	changed bool   // the open one, since the last Flush
	newest  time.Time
	asked   Feeds // what the open bucket's rows were asked of last
	sweep   *sweep
	now     func() time.Time
}

// New returns a Watch over what its State has of the partition. An error is the
// State's.
func New(cfg Config, state enrich.State) (*Watch, error) {
	w := &Watch{cfg: cfg, state: state, now: time.Now}
	err := state.Scan("", []byte{bucketKey}, func(key, value []byte) error {
		if len(key) != 9 {
			return fmt.Errorf("%x is no key of a bucket", key)
		}
		b, err := readBucket(binary.BigEndian.Uint64(key[1:]), value)
		if err != nil {
			return fmt.Errorf("bucket %d: %w", binary.BigEndian.Uint64(key[1:]), err)
		}
		w.buckets = append(w.buckets, b)
		w.next = b.number + 1
		return nil
	})
	if err == nil {
		err = w.resumeSweep()
	}
	if err != nil {
		return nil, fmt.Errorf("what was asked about: %w", err)
	}
	return w, nil
}

// Observe implements enrich.Retro. Rows of files are not found again.
func (w *Watch) Observe(e *enrich.Event, read enrich.Position) error {
	if read.Topic == "" {
		return nil
	}
	at := e.Appended
	if at.IsZero() { // the topic keeps its producers' times
		at = w.now()
	}
	if at.After(w.newest) {
		w.newest = at
	}
	feeds, ok := e.SoughtIn.(Feeds)
	if !ok { // nothing was asked
		feeds = w.cfg.Feeds()
	}
	b, err := w.open(at, feeds)
	if err != nil {
		return err
	}
	b.reach(read.Topic, read.Offset, at)
	w.changed = true
	for _, hash := range e.Sought {
		w.values[short(hash)] = struct{}{}
	}
	return nil
}

// open returns the bucket for a row, a new one where the last is full.
func (w *Watch) open(at time.Time, feeds Feeds) (*bucket, error) {
	if w.values != nil {
		b := w.buckets[len(w.buckets)-1]
		if at.Sub(b.since) < bucketTime && len(w.values) < maxValues && w.sameLoads(b, feeds) {
			return b, nil
		}
		if err := w.close(b); err != nil {
			return nil, err
		}
	}
	if err := w.expire(); err != nil {
		return nil, err
	}
	b := &bucket{number: w.next, since: at, until: at, asked: loadsOf(feeds)}
	w.next, w.asked = w.next+1, feeds
	w.buckets, w.values = append(w.buckets, b), map[uint32]struct{}{}
	return b, nil
}

// sameLoads tells whether the rows of the open bucket were asked of the loads in use:
// a bucket ends with them, so that no row of it is asked of later ones.
func (w *Watch) sameLoads(b *bucket, feeds Feeds) bool {
	if feeds != w.asked {
		w.asked = feeds
		return !later(b, loadsOf(feeds))
	}
	return true
}

// close writes the values of the open bucket.
func (w *Watch) close(b *bucket) error {
	if err := w.putValues(b, w.values); err != nil {
		return err
	}
	w.values, w.changed = nil, false
	return nil
}

func (w *Watch) putValues(b *bucket, values map[uint32]struct{}) error {
	b.listed = true
	if err := w.state.Put("", keyOf(valuesKey, b.number), encodeValues(values)); err != nil {
		return fmt.Errorf("values of bucket %d: %w", b.number, err)
	}
	return w.put(b)
}

func (w *Watch) put(b *bucket) error {
	if err := w.state.Put("", keyOf(bucketKey, b.number), b.encode()); err != nil {
		return fmt.Errorf("bucket %d: %w", b.number, err)
	}
	return nil
}

// expire forgets the buckets that left the window.
func (w *Watch) expire() error {
	edge := w.newest.Add(-w.cfg.Window)
	for len(w.buckets) > 0 && w.buckets[0].until.Before(edge) {
		b := w.buckets[0]
		w.buckets = w.buckets[1:]
		if w.sweep != nil && w.sweep.bucket == b {
			if err := w.endSweep(); err != nil {
				return err
			}
		}
		for _, kind := range []byte{bucketKey, valuesKey} {
			if err := w.state.Delete("", keyOf(kind, b.number)); err != nil {
				return fmt.Errorf("bucket %d: %w", b.number, err)
			}
		}
	}
	return nil
}

// Flush implements enrich.Retro: what the open bucket covers is written at each
// commit, its values when it is closed.
func (w *Watch) Flush() error {
	if !w.changed {
		return nil
	}
	w.changed = false
	return w.put(w.buckets[len(w.buckets)-1])
}

// loadsOf is what a bucket notes of the loads in use.
func loadsOf(feeds Feeds) (all []load) {
	for _, l := range feeds.Loads() {
		all = append(all, load{l.Feed, l.At})
	}
	return all
}

// sweep is a bucket that is read again: span after span.
type sweep struct {
	bucket *bucket
	// to are the loads that it will have been asked of.
	to []load
	// spans are those of the bucket as they were when it began; at is the one that is
	// read, and next how far.
	spans []span
	at    int
	next  int64
	// values are what was asked about, where the State does not have them and all is
	// read in this process.
	values map[uint32]struct{}
	// met are the events that were judged, for rows that came twice.
	met map[string]struct{}
}

func (s *sweep) encode() []byte {
	b := compact.Number(compact.Number(compact.Number(compact.Number(nil, format), s.bucket.number), uint64(s.at)), uint64(s.next))
	end := bucket{spans: s.spans, asked: s.to}
	return append(b, end.encode()...)
}

// resumeSweep goes on with what an earlier owner began.
func (w *Watch) resumeSweep() error {
	value, err := w.state.Get("", []byte{sweepKey})
	if err != nil || value == nil {
		return err
	}
	r := compact.NewReader(value)
	r.Format(format)
	number := r.Number()
	s := &sweep{at: int(r.Number()), next: int64(r.Number()), met: map[string]struct{}{}}
	if r.Err() != nil {
		return fmt.Errorf("range that is read again: %w", r.Err())
	}
	end, err := readBucket(number, value[len(value)-r.Rest():])
	if err != nil {
		return fmt.Errorf("range that is read again: %w", err)
	}
	s.spans, s.to = end.spans, end.asked
	for _, b := range w.buckets {
		if b.number == number && s.at < len(s.spans) {
			s.bucket, w.sweep = b, s
			return nil
		}
	}
	return nil // it has left the window
}
