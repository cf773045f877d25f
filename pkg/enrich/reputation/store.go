package reputation

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Store holds the Index in use. It is safe for concurrent use.
type Store struct {
	current atomic.Pointer[Index]
}

// NewStore returns a Store with an Index in use; nil stands for an empty one.
func NewStore(x *Index) *Store {
	s := &Store{}
	if x == nil {
		x = &Index{}
	}
	s.current.Store(x)
	return s
}

// Current returns the Index in use, which the caller may go on using after a
// swap.
func (s *Store) Current() *Index { return s.current.Load() }

// Swap puts x, which must not be nil, in use.
func (s *Store) Swap(x *Index) { s.current.Store(x) }

// DefaultEvery is how often a Reloader looks at the files: a change is in use
// within a few seconds.
const DefaultEvery = 2 * time.Second

// Reloader puts a new Index in use when a feed's file changed or its URL is due.
// Set its fields before Run.
type Reloader struct {
	Store *Store
	Feeds []Feed
	// Loader loads them; the zero one keeps no copies.
	Loader Loader
	// Every is how often the files are looked at, 0 for DefaultEvery.
	Every time.Duration
	// Log gets one line for each feed of a reload that was read or failed; nil
	// for none.
	Log *slog.Logger
	// OnLoad, if set, is told of each reload by Run's goroutine.
	OnLoad func(Report)
}

// Run looks at the files until ctx ends, which it returns as nil. It starts no
// goroutine that outlives it; the caller runs it in one of its own and waits for
// it. Nobody else may Swap the Store meanwhile.
func (r *Reloader) Run(ctx context.Context) error {
	every := r.Every
	if every <= 0 {
		every = DefaultEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen, next := r.loaded()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := look(r.Feeds)
		if slices.Equal(seen, now) && !due(next) {
			continue
		}
		report := r.reload(ctx)
		if ctx.Err() == nil {
			seen = r.afterReload(now)
			next = nextOf(report)
		}
	}
}

// loaded are the stamps of the data in use, and when URLs are due; a feed that
// failed has none, so it is tried once more.
func (r *Reloader) loaded() (stamps []stamp, next []time.Time) {
	stamps = make([]stamp, len(r.Feeds))
	for i, f := range r.Feeds {
		f = f.Resolved()
		t := r.Store.Current().table(f.Name)
		switch {
		case t != nil && f.URL != "":
			next = append(next, t.next)
		case f.URL != "":
			next = append(next, time.Now())
		case t != nil && !t.racy:
			stamps[i] = t.stamp
		default:
			stamps[i] = stamp{newest: -1}
		}
	}
	return stamps, next
}

func nextOf(report Report) (next []time.Time) {
	for _, f := range report.Feeds {
		if !f.Next.IsZero() {
			next = append(next, f.Next)
		}
	}
	return next
}

func due(next []time.Time) bool {
	now := time.Now()
	return slices.ContainsFunc(next, func(at time.Time) bool { return !now.Before(at) })
}

// afterReload are the stamps the reload answered for: a file that failed is not
// tried again before it changes, one that was too new is.
func (r *Reloader) afterReload(now []stamp) []stamp {
	for i, f := range r.Feeds {
		if t := r.Store.Current().table(f.Resolved().Name); t != nil && t.racy && t.stamp == now[i] {
			now[i] = stamp{newest: -1}
		}
	}
	return now
}

func (r *Reloader) reload(ctx context.Context) Report {
	x, report := r.Loader.Load(ctx, r.Feeds, r.Store.Current())
	if ctx.Err() != nil {
		return report
	}
	r.Store.Swap(x)
	if r.Log != nil {
		for _, f := range report.Feeds {
			f.log(ctx, r.Log)
		}
	}
	if r.OnLoad != nil {
		r.OnLoad(report)
	}
	return report
}

func look(feeds []Feed) []stamp {
	stamps := make([]stamp, len(feeds))
	for i, f := range feeds {
		if f.Path != "" {
			stamps[i] = lookAt(f.Path)
		}
	}
	return stamps
}
