package retro

import (
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Due implements enrich.Retro. It looks at the newest buckets first, at some of them
// in one call.
func (w *Watch) Due() (r enrich.Range, ok bool, err error) {
	looked := 0
	feeds := w.cfg.Feeds()
	if w.asked != feeds {
		w.asked = nil // what is no longer in use is not to be held
	}
	to := loadsOf(feeds)
	for i := len(w.buckets) - 1; i >= 0 && w.sweep == nil && looked < atOnce; i-- {
		b := w.buckets[i]
		if later(b, to) {
			looked++
			if err := w.look(b, feeds, to); err != nil {
				return r, false, err
			}
		}
	}
	if w.sweep == nil {
		return r, false, nil
	}
	s := w.sweep.spans[w.sweep.at]
	return enrich.Range{Topic: s.topic, From: max(s.from, w.sweep.next), To: s.to}, true, nil
}

// later tells whether a feed was loaded after the bucket was asked of it.
func later(b *bucket, to []load) bool {
	for _, l := range to {
		if l.at > b.at(l.feed) {
			return true
		}
	}
	return false
}

// look begins to read a bucket again where something new may be in it; else it notes
// that nothing is.
func (w *Watch) look(b *bucket, feeds Feeds, to []load) error {
	for _, l := range to {
		fresh := feeds.Fresh(l.feed, b.at(l.feed))
		if len(fresh) == 0 {
			continue
		}
		may, err := w.mayHold(b, fresh)
		if err != nil {
			return err
		}
		if may {
			return w.begin(b, to)
		}
	}
	b.asked = to
	return w.put(b)
}

func (w *Watch) mayHold(b *bucket, fresh []uint64) (bool, error) {
	if w.values != nil && b == w.buckets[len(w.buckets)-1] {
		for _, hash := range fresh {
			if _, ok := w.values[short(hash)]; ok {
				return true, nil
			}
		}
		return false, nil
	}
	if !b.listed {
		return true, nil
	}
	value, err := w.state.Get("", keyOf(valuesKey, b.number))
	if err != nil {
		return false, fmt.Errorf("values of bucket %d: %w", b.number, err)
	}
	may, err := mayHold(value, fresh)
	if err != nil {
		return false, fmt.Errorf("values of bucket %d: %w", b.number, err)
	}
	return may, nil
}

func (w *Watch) begin(b *bucket, to []load) error {
	w.sweep = &sweep{bucket: b, to: to, spans: append([]span(nil), b.spans...), met: map[string]struct{}{}}
	open := w.values != nil && b == w.buckets[len(w.buckets)-1]
	if !b.listed && !open {
		w.sweep.values = map[uint32]struct{}{}
	}
	return w.putSweep()
}

func (w *Watch) putSweep() error {
	if err := w.state.Put("", []byte{sweepKey}, w.sweep.encode()); err != nil {
		return fmt.Errorf("range that is read again: %w", err)
	}
	return nil
}

// Meets implements enrich.Retro.
func (w *Watch) Meets(e *enrich.Event) bool {
	s := w.sweep
	if s == nil { // the range has left the window
		return false
	}
	if s.values != nil && len(s.values) < maxValues {
		for _, hash := range e.Sought {
			s.values[short(hash)] = struct{}{}
		}
	}
	found := false
	for i := range e.Threats {
		t := &e.Threats[i]
		since := t.Since.Unix() // what is newer than the range is read for has its turn later
		t.Retro = t.Role == "block" && !t.Since.IsZero() && since > s.bucket.at(t.Feed) && since <= atOf(s.to, t.Feed)
		found = found || t.Retro
	}
	if _, again := s.met[e.ID]; again || !found {
		return false
	}
	s.met[e.ID] = struct{}{}
	return true
}

// Reached implements enrich.Retro.
func (w *Watch) Reached(next int64) error {
	s := w.sweep
	if s == nil {
		return nil
	}
	s.next = next
	if next < s.spans[s.at].to {
		return w.putSweep()
	}
	if s.at++; s.at < len(s.spans) {
		s.next = 0
		return w.putSweep()
	}
	s.bucket.asked = s.to
	if s.values != nil && len(s.values) < maxValues {
		if err := w.putValues(s.bucket, s.values); err != nil {
			return err
		}
	} else if err := w.put(s.bucket); err != nil {
		return err
	}
	return w.endSweep()
}

func (w *Watch) endSweep() error {
	w.sweep = nil
	if err := w.state.Delete("", []byte{sweepKey}); err != nil {
		return fmt.Errorf("range that is read again: %w", err)
	}
	return nil
}
