package reputation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
)

// Report says how a Load went, feed by feed in the order given.
type Report struct {
	Feeds []FeedReport
}

// FeedReport says how the load of one feed went.
type FeedReport struct {
	// Path is what was read, of an URL the host.
	Name, Path string
	// Entries is the number of indicators in use, Generation the hash of the
	// text that they are from, empty for a feed that never loaded.
	Entries    int
	Generation string
	// Loaded is when those were read, and Next when a URL is asked again, zero
	// for a path.
	Loaded, Next time.Time
	// Rows were read, of which Refused could not be used, Skipped are not for
	// matching, Private were kept out as private or reserved, and the rest beyond
	// Entries said the same twice. All are 0 where Unchanged.
	Rows, Refused, Skipped, Private int
	Reasons, Skips                  []Reason
	// InMemory is why what only hits read is kept in memory and not on disk, nil where
	// it is on disk or small.
	InMemory error
	// Unchanged tells that the source says what is already loaded, and no more was read
	// of it than it takes to know that.
	Unchanged bool
	// Kept tells that the feed failed, and that its last good data stay in use.
	Kept bool
	// Err is why the feed failed, nil where it did not.
	Err error
}

func (f *FeedReport) count(b *builder) {
	f.Rows, f.Private = b.rows, b.private
	f.Refused, f.Reasons = b.refusals.count, b.refusals.reasons
	f.Skipped, f.Skips = b.skips.count, b.skips.reasons
}

// Err joins the errors of the feeds that failed; nil when none did.
func (r Report) Err() error {
	var all []error
	for _, f := range r.Feeds {
		if f.Err != nil {
			all = append(all, fmt.Errorf("feed %s: %w", f.Name, f.Err))
		}
	}
	return errors.Join(all...)
}

// Warnings are sentences about rows that were left out, one for each reason, with
// the first rows as file:line: those that are broken, then those that are not for
// matching.
func (f FeedReport) Warnings() []string {
	var all []string
	if f.InMemory != nil {
		all = append(all, "kept in memory whole: "+f.InMemory.Error())
	}
	for _, list := range [][]Reason{f.Reasons, f.Skips} {
		for _, r := range list {
			all = append(all, r.in(filepath.Base(f.Path)))
		}
	}
	return all
}

func (f FeedReport) log(ctx context.Context, log *slog.Logger) {
	switch {
	case f.Err != nil:
		log.WarnContext(ctx, "feed not loaded", "feed", f.Name, "error", f.Err, "kept_entries", f.Entries, "generation", f.Generation)
	case !f.Unchanged:
		log.InfoContext(ctx, "feed loaded", "feed", f.Name, "entries", f.Entries, "generation", f.Generation,
			"refused", f.Refused, "skipped", f.Skipped, "private", f.Private)
	}
}
