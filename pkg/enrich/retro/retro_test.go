package retro

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// list is a feed: since when it has each hash, and when it was last loaded.
type list struct {
	since map[uint64]int64
	at    int64
}

func (l *list) Loads() []reputation.InUse { return []reputation.InUse{{Feed: "list", At: l.at}} }

func (l *list) Fresh(_ string, after int64) (all []uint64) {
	for hash, since := range l.since {
		if since > after {
			all = append(all, hash)
		}
	}
	slices.Sort(all)
	return all
}

// learn is a load that has one more.
func (l *list) learn(hash uint64) *list {
	next := &list{maps.Clone(l.since), l.at + 1}
	if _, ok := next.since[hash]; !ok {
		next.since[hash] = next.at
	}
	return next
}

// topic is a partition with its state: a row for each hash that was asked about.
type topic struct {
	t      testing.TB
	state  enrich.State
	feeds  *list
	watch  *Watch
	rows   []*enrich.Event
	live   map[string]int
	found  map[string]int
	now    time.Time
	reread int
}

func newTopic(t testing.TB) *topic {
	w := &topic{
		t: t, state: state.NewMemory(), feeds: &list{map[uint64]int64{}, 100}, live: map[string]int{}, found: map[string]int{}, now: time.Unix(1_760_000_000, 0),
	}
	w.restart()
	return w
}

func (w *topic) restart() {
	watch, err := New(Config{Window: time.Hour, Feeds: func() Feeds { return w.feeds }}, w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.watch = watch
}

// threats are what the feeds say of a row today.
func (w *topic) threats(e *enrich.Event) {
	e.Threats = e.Threats[:0]
	for _, hash := range e.Sought {
		if since, ok := w.feeds.since[hash]; ok {
			e.Threats = append(e.Threats, enrich.Threat{Feed: "list", Role: "block", Indicator: fmt.Sprint(hash), Since: time.Unix(since, 0)})
		}
	}
}

func (w *topic) row(hash uint64) {
	e := &enrich.Event{
		SoughtIn: w.feeds, ID: fmt.Sprint(len(w.rows)), Sought: []uint64{hash}, Appended: w.now,
		Position: enrich.Position{Topic: "in", Offset: int64(len(w.rows))},
	}
	w.rows = append(w.rows, e)
	w.threats(e)
	for _, t := range e.Threats {
		w.live[e.ID+" "+t.Indicator]++
	}
	if err := w.watch.Observe(e, e.Position); err != nil {
		w.t.Fatal(err)
	}
}

func (w *topic) flush() {
	if err := w.watch.Flush(); err != nil {
		w.t.Fatal(err)
	}
}

// step reads up to n rows of a range that is due, and tells whether there was one.
func (w *topic) step(n int) bool {
	r, ok, err := w.watch.Due()
	if err != nil {
		w.t.Fatal(err)
	}
	if !ok {
		return false
	}
	to := min(r.To, r.From+int64(n))
	for _, e := range w.rows[r.From:to] {
		w.reread++
		again := &enrich.Event{ID: e.ID, Sought: e.Sought}
		w.threats(again)
		if w.watch.Meets(again) {
			for _, t := range again.Threats {
				if t.Retro {
					w.found[e.ID+" "+t.Indicator]++
				}
			}
		}
	}
	if err := w.watch.Reached(to); err != nil {
		w.t.Fatal(err)
	}
	return true
}

// Whatever comes in between, each row meets each indicator once: live where it was
// known, else later.
func TestEachRowMeetsWhatIsLearnedOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newTopic(t)
		hash := func() uint64 { return uint64(rapid.IntRange(1, 12).Draw(r, "value")) << 40 }
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch rapid.IntRange(0, 6).Draw(r, "what") {
			case 0:
				w.feeds = w.feeds.learn(hash())
			case 1:
				w.flush()
				w.restart()
			case 2:
				w.step(rapid.IntRange(1, 3).Draw(r, "rows"))
			case 3:
				w.now = w.now.Add(3 * time.Minute)
			default:
				w.row(hash())
			}
		}
		for range 10_000 {
			if !w.step(100) {
				break
			}
		}
		for _, e := range w.rows {
			indicator := fmt.Sprint(e.Sought[0])
			key := e.ID + " " + indicator
			since, listed := w.feeds.since[e.Sought[0]]
			inside := w.now.Sub(e.Appended) <= time.Hour
			switch n := w.live[key] + w.found[key]; {
			case !listed && n > 0, n > 1:
				r.Fatalf("row %s met %s %d times live and %d later", e.ID, indicator, w.live[key], w.found[key])
			case listed && inside && n == 0:
				r.Fatalf("row %s never met %s, listed since %d", e.ID, indicator, since)
			}
		}
	})
}

// Only rows that may have met what is new are read again, and none after its window.
func TestLittleIsReadAgain(t *testing.T) {
	w := newTopic(t)
	for bucket := range uint64(30) {
		for i := range uint64(100) {
			w.row((bucket*100 + i + 1) << 32)
		}
		w.now = w.now.Add(5 * time.Minute)
	}
	w.row(1 << 60)
	w.flush()
	w.feeds = w.feeds.learn(2850 << 32) // of the bucket before the last
	for w.step(1000) {
	}
	if w.reread != 100 || len(w.found) != 1 {
		t.Errorf("%d rows were read again, %v found", w.reread, w.found)
	}
	w.feeds = w.feeds.learn(50 << 32) // of the first, two hours ago
	for w.step(1000) {
	}
	if w.reread != 100 {
		t.Errorf("%d rows were read again", w.reread)
	}
	if n := len(w.watch.buckets); n > 14 {
		t.Errorf("%d buckets are kept for an hour", n)
	}
	keys := 0
	if err := w.state.Scan("", nil, func([]byte, []byte) error { keys++; return nil }); err != nil || keys > 28 {
		t.Errorf("%d keys are kept: %v", keys, err)
	}
}

// A bucket that was open when its owner ended has no list of its values. It is read
// whole once, and then has one.
func TestAnOpenBucketOutlivesItsOwner(t *testing.T) {
	w := newTopic(t)
	for i := range uint64(10) {
		w.row((i + 1) << 32)
	}
	w.flush()
	w.restart()
	w.feeds = w.feeds.learn(5 << 32)
	for w.step(3) {
	}
	if w.reread != 10 || len(w.found) != 1 {
		t.Errorf("%d rows were read again, %v found", w.reread, w.found)
	}
	w.feeds = w.feeds.learn(99 << 32)
	for w.step(3) {
	}
	if w.reread != 10 {
		t.Errorf("%d rows were read again for nothing", w.reread)
	}
}
