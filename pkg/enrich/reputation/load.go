package reputation

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// racyFor is how old a file must have been when it was read for its stamp to
// tell that it is still the same: file systems write times coarsely.
const racyFor = 2 * time.Second

// Report says how a Load went, feed by feed in the order given.
type Report struct {
	Feeds []FeedReport
}

// FeedReport says how the load of one feed went.
type FeedReport struct {
	Name, Path string
	// Entries is the number of indicators in use, Generation the hash of the
	// text that they are from, empty for a feed that never loaded.
	Entries    int
	Generation string
	// Rows were read, of which Refused could not be used, Private were kept out
	// as private or reserved, and the rest beyond Entries said the same twice.
	// All are 0 where Unchanged.
	Rows, Refused, Private int
	Reasons                []Reason
	// Unchanged tells that the file is the one already loaded and was not read.
	Unchanged bool
	// Kept tells that the feed failed, and that its last good data stay in use.
	Kept bool
	// Err is why the feed failed, nil where it did not.
	Err error
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

// Warnings are sentences about refused rows, one for each reason, with the first
// rows as file:line.
func (f FeedReport) Warnings() []string {
	var all []string
	for _, r := range f.Reasons {
		all = append(all, r.in(filepath.Base(f.Path)))
	}
	return all
}

// Load reads feeds into a new Index. prev, which may be nil, is not changed; a
// feed that fails keeps the data it has there, and a file that is the same as
// the one read for prev is not read again. A feed without any data is one of the
// Index's Missing. The Index is never nil.
func Load(ctx context.Context, feeds []Feed, prev *Index) (*Index, Report) {
	x := &Index{seed: maphash.MakeSeed()}
	if prev != nil && prev.seed != (maphash.Seed{}) {
		x.seed = prev.seed
	}
	var report Report
	for i, feed := range feeds {
		var fr FeedReport
		var t *table
		if slices.ContainsFunc(feeds[:i], func(f Feed) bool { return f.Name == feed.Name }) {
			fr = FeedReport{Name: feed.Name, Path: feed.Path, Err: errors.New("name: another feed has the same")}
		} else {
			t, fr = loadFeed(ctx, feed, prev.table(feed.Name), x.seed)
		}
		report.Feeds = append(report.Feeds, fr)
		if t != nil {
			x.tables = append(x.tables, t)
		} else {
			x.missing = append(x.missing, feed.Name)
		}
	}
	return x, report
}

// loadFeed returns the feed's new data, else its old, else nil.
func loadFeed(ctx context.Context, feed Feed, old *table, seed maphash.Seed) (*table, FeedReport) {
	fr := FeedReport{Name: feed.Name, Path: feed.Path}
	t, err := old, feed.err()
	if fr.Unchanged = err == nil && old.current(feed); err == nil && !fr.Unchanged {
		t, err = readFeed(ctx, feed, seed, &fr)
		if err == nil {
			err = shrunk(old, t)
		}
	}
	if err != nil {
		t, fr.Err, fr.Kept = old, err, old != nil
	}
	if t != nil {
		fr.Entries, fr.Generation = t.entries(), t.generation
	}
	return t, fr
}

// current tells whether t was read with these settings from the file as it is.
func (t *table) current(feed Feed) bool {
	if t == nil || t.racy || !reflect.DeepEqual(t.feed, feed) {
		return false
	}
	now, ok := lookAt(feed.Path)
	return ok && now == t.stamp
}

func readFeed(ctx context.Context, feed Feed, seed maphash.Seed, fr *FeedReport) (*table, error) {
	decode, _ := decoderOf(feed.Preset)
	b := newBuilder(feed, seed)
	var generation string
	started := time.Now()
	from, err := withFeedText(ctx, feed.Path, func(lines *lineReader) error {
		if err := decode(lines, b); err != nil {
			return err
		}
		generation = lines.generation()
		return b.check()
	})
	fr.Rows, fr.Refused, fr.Private, fr.Reasons = b.rows, b.refusals.count, b.private, b.refusals.reasons
	if err != nil {
		return nil, err
	}
	t := b.table()
	t.generation, t.stamp, t.racy = generation, from, time.Duration(started.UnixNano()-from.modified).Abs() < racyFor
	return t, nil
}

// shrunk refuses data that lost too much, for what is more likely a broken
// download than good news. Other settings make it another feed.
func shrunk(old, now *table) error {
	if old == nil || old.feed.Path != now.feed.Path || old.feed.Preset != now.feed.Preset || old.feed.Type != now.feed.Type {
		return nil
	}
	was, is := old.entries(), now.entries()
	if is*100 < was*(100-now.feed.MaxShrink) {
		return fmt.Errorf("%s shrank from %d to %d indicators, by more than %d %%", now.feed.Path, was, is, now.feed.MaxShrink)
	}
	return nil
}
