package kinesis

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// Places are a minute apart, outlive the session, and are forgotten when nothing before
// the next is looked back at; the last one before a record leads to it.
func TestPlacesLeadToRecords(t *testing.T) {
	store, _, err := state.Open(state.Config{Of: state.Changelog{Topic: "rows"}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	opened := func() *session {
		t.Helper()
		s := &session{cfg: &Config{LookBack: 10 * time.Minute}, store: store, at: lease.Checkpoint{Sequence: lease.TrimHorizon}}
		if err := s.loadPlaces(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, start := opened(), time.Unix(1_760_000_000, 0).UTC()
	if _, ok := s.places.before(0); ok {
		t.Error("a place is known of a shard of which nothing was read")
	}
	const each = 20 * time.Second
	for batch := range 90 { // half an hour
		if batch == 45 {
			s = opened()
		}
		s.offset = int64(batch) * 100
		if err := s.notePlace(lease.Progress{Checkpoint: lease.Checkpoint{Sequence: fmt.Sprint(1000 + batch), Sub: int64(batch % 3)}, Offset: s.offset + 100}, start.Add(time.Duration(batch)*each)); err != nil {
			t.Fatal(err)
		}
		store.Changes()
		if err := store.Committed(store.Position() + 1); err != nil {
			t.Fatal(err)
		}
		s.at = lease.Checkpoint{Sequence: fmt.Sprint(1000 + batch), Sub: int64(batch % 3)}
		if batch == 2 {
			if at, ok := s.places.before(250); !ok || at.offset != 0 || at.behind.Sequence != lease.TrimHorizon {
				t.Errorf("before all places: %+v %v", at, ok)
			}
		}
	}
	for _, s := range []*session{s, opened()} {
		if n := len(s.places.all); n < 11 || n > 14 {
			t.Errorf("%d places of ten minutes", n)
		}
		for offset := s.places.all[0].offset; offset <= 9000; offset += 50 {
			at, ok := s.places.before(offset)
			if want := fmt.Sprint(1000 + at.offset/100 - 1); !ok || at.offset > offset || at.offset <= offset-400 || at.behind.Sequence != want {
				t.Fatalf("before %d: %+v %v", offset, at, ok)
			}
		}
		if _, ok := s.places.before(s.places.all[0].offset - 1); ok {
			t.Error("what was forgotten is known")
		}
	}
}
