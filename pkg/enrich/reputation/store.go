package reputation

import (
	"context"
	"log/slog"
	"os"
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

// DefaultEvery is how often a Reloader looks at the files.
const DefaultEvery = 30 * time.Second

// Reloader puts a new Index in use when a feed's file changed. Set its fields
// before Run.
type Reloader struct {
	Store *Store
	Feeds []Feed
	// Every is how often the files are looked at, 0 for DefaultEvery.
	Every time.Duration
	// Log gets one line for each feed of a reload that was read or failed; nil
	// for none.
	Log *slog.Logger
	// OnLoad, if set, is told of each reload by Run's goroutine.
	OnLoad func(Report)
}

// Run looks at the files until ctx ends, which it returns as nil. It starts no
// goroutine; the caller runs it in one of its own and waits for it. Nobody else
// may Swap the Store meanwhile.
func (r *Reloader) Run(ctx context.Context) error {
	every := r.Every
	if every <= 0 {
		every = DefaultEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := r.loaded()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := look(r.Feeds)
		if slices.Equal(seen, now) {
			continue
		}
		if r.reload(ctx); ctx.Err() == nil {
			seen = r.afterReload(now)
		}
	}
}

// loaded are the stamps of the data in use; a feed that failed has none, so it
// is tried once more.
func (r *Reloader) loaded() []stamp {
	stamps := make([]stamp, len(r.Feeds))
	for i, f := range r.Feeds {
		if t := r.Store.Current().table(f.Name); t != nil && !t.racy {
			stamps[i] = t.stamp
		} else {
			stamps[i] = stamp{size: -1}
		}
	}
	return stamps
}

// afterReload are the stamps the reload answered for: a file that failed is not
// tried again before it changes, one that was too new is.
func (r *Reloader) afterReload(now []stamp) []stamp {
	for i, f := range r.Feeds {
		if t := r.Store.Current().table(f.Name); t != nil && t.racy && t.stamp == now[i] {
			now[i] = stamp{size: -1}
		}
	}
	return now
}

func (r *Reloader) reload(ctx context.Context) {
	x, report := Load(ctx, r.Feeds, r.Store.Current())
	if ctx.Err() != nil {
		return
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
}

func (f FeedReport) log(ctx context.Context, log *slog.Logger) {
	switch {
	case f.Err != nil:
		log.WarnContext(ctx, "feed not loaded", "feed", f.Name, "error", f.Err, "kept_entries", f.Entries, "generation", f.Generation)
	case !f.Unchanged:
		log.InfoContext(ctx, "feed loaded", "feed", f.Name, "entries", f.Entries, "generation", f.Generation,
			"refused", f.Refused, "private", f.Private)
	}
}

func look(feeds []Feed) []stamp {
	stamps := make([]stamp, len(feeds))
	for i, f := range feeds {
		stamps[i], _ = lookAt(f.Path)
	}
	return stamps
}

// lookAt is the file's stamp, ok false for a file that cannot be seen.
func lookAt(path string) (_ stamp, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, false
	}
	return stampOf(info), true
}
