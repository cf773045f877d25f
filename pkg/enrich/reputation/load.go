package reputation

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// racyFor is how old a file must have been when it was read for its stamp to
// tell that it is still the same: file systems write times coarsely.
const racyFor = 2 * time.Second

// atOnce is how many feeds are read at the same time: enough that a slow server
// does not hold the others up.
const atOnce = 4

// Loader reads feeds into Indexes. Its fields are set before use; it may then be
// used by one goroutine at a time.
type Loader struct {
	// Dir is where the last good copy of each feed is kept. Empty keeps nothing:
	// then URLs are fetched into a folder that is removed again.
	Dir string
	// Keep is how long a delisted indicator still matches what happened before that; 0
	// is not at all.
	Keep time.Duration
	// ReadOnly uses the copies in Dir, which another process keeps, and writes
	// nothing there. A URL of which there is no copy is fetched for this load
	// alone.
	ReadOnly bool
	// Client fetches; nil stands for fetch.NewClient's.
	Client *http.Client
	// Header returns what is sent to the URL of the feed of that name: it may
	// hold secrets. nil sends nothing of the kind.
	Header func(name string) (http.Header, error)

	// passing tells that Dir ends with the load.
	passing bool
}

// Load reads feeds with a Loader that keeps nothing.
func Load(ctx context.Context, feeds []Feed, prev *Index) (*Index, Report) {
	return (&Loader{}).Load(ctx, feeds, prev)
}

// Load reads feeds into a new Index. prev, which may be nil, is not changed; a
// feed that fails keeps the data it has there, else the last good copy on disk.
// What did not change since prev, or need not be asked for yet, is not read
// again. A feed without any data is one of the Index's Missing. The Index is
// never nil.
func (l *Loader) Load(ctx context.Context, feeds []Feed, prev *Index) (*Index, Report) {
	x := &Index{seed: maphash.MakeSeed()}
	if prev != nil && prev.seed != (maphash.Seed{}) {
		x.seed = prev.seed
	}
	report := Report{Feeds: make([]FeedReport, len(feeds))}
	tables := make([]*table, len(feeds))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, f := range feeds {
		group.Go(func() error {
			f = f.Resolved()
			if slices.ContainsFunc(feeds[:i], func(o Feed) bool { return o.Resolved().Name == f.Name }) {
				report.Feeds[i] = FeedReport{Name: f.Name, Path: f.where(), Err: errors.New("name: another feed has the same")}
				return nil
			}
			tables[i], report.Feeds[i] = l.feed(ctx, f, prev.table(f.Name), x.seed)
			return nil
		})
	}
	_ = group.Wait() // what goes wrong is in the report
	for i, t := range tables {
		if t != nil {
			x.add(t)
		} else {
			x.missing = append(x.missing, report.Feeds[i].Name)
			x.about(feeds[i].Resolved().Columns) // what is met meanwhile is found when it is there
		}
	}
	return x, report
}

// add puts a feed's data into an Index that is being made.
func (x *Index) add(t *table) {
	x.tables = append(x.tables, t)
	x.about(t.feed.Columns)
}

// about has columns asked about.
func (x *Index) about(columns []string) {
	for _, c := range columns {
		if !slices.Contains(x.columns, c) {
			x.columns = append(x.columns, c)
		}
	}
}

// feed returns the feed's new data, else its old, else nil.
func (l *Loader) feed(ctx context.Context, f Feed, old *table, seed maphash.Seed) (*table, FeedReport) {
	fr := FeedReport{Name: f.Name, Path: f.where()}
	var t *table
	err := f.err()
	switch {
	case err != nil:
		t = old
	case f.URL != "":
		t, err = l.remote(ctx, f, old, seed, &fr)
	default:
		t, err = l.local(ctx, f, old, seed, &fr)
	}
	if err != nil {
		fr.Err, fr.Kept = err, t != nil
	}
	if t != nil {
		fr.Entries, fr.Generation, fr.Loaded, fr.Next = t.entries(), t.generation, t.loaded, t.next
	}
	return t, fr
}

// local reads a feed of this machine's files. The error comes with the data that
// stay in use, nil for none.
func (l *Loader) local(ctx context.Context, f Feed, old *table, seed maphash.Seed, fr *FeedReport) (*table, error) {
	if fr.Unchanged = old.current(f); fr.Unchanged {
		return old, nil
	}
	c := l.copyOf(f)
	if same := old.sameFiles(ctx, f); same != nil {
		fr.Unchanged = true
		return same, c.recovered()
	}
	t, err := readLocal(ctx, f, seed, l.history(ctx, c, old, seed), fr)
	if err == nil {
		err = c.shrunk(old, t)
	}
	if err != nil {
		if old == nil {
			old = c.read(ctx, seed)
		}
		c.failed(err)
		return old, err
	}
	return t, c.keepLocal(t, fr)
}

// current tells whether t was read with these settings from the files as they are.
func (t *table) current(f Feed) bool {
	return t != nil && !t.racy && t.feed.sameSettings(f) && t.stamp != (stamp{}) && lookAt(f.Path) == t.stamp
}

// sameFiles is t with the stamp of its files as they are, where they were written anew
// or may have been and say what they said; else nil. To hash them is a fraction of the
// work of reading them.
func (t *table) sameFiles(ctx context.Context, f Feed) *table {
	if t == nil || !t.feed.sameSettings(f) || t.stamp == (stamp{}) {
		return nil
	}
	started, from := time.Now(), lookAt(f.Path)
	list, err := localDocuments(f.Path)
	if err != nil || !t.says(ctx, list) {
		return nil
	}
	same := *t
	same.stamp, same.racy = from, racy(started, from)
	return &same
}

// says tells whether documents are those that t was read from.
func (t *table) says(ctx context.Context, list []document) bool {
	generation, err := withTexts(ctx, list, int64(t.feed.MaxMiB)<<20, func(text *feed.Text) error {
		if _, err := io.Copy(io.Discard, text); err != nil {
			return fmt.Errorf("hash of %s: %w", text.Name, err)
		}
		return nil
	})
	return err == nil && generation == t.generation
}

// racy tells that files may change after they were read and keep their stamp.
func racy(started time.Time, s stamp) bool {
	return time.Duration(started.UnixNano()-s.newest).Abs() < racyFor
}

func readLocal(ctx context.Context, f Feed, seed maphash.Seed, h history, fr *FeedReport) (*table, error) {
	started, from := time.Now(), lookAt(f.Path)
	list, err := localDocuments(f.Path)
	if err != nil {
		return nil, err
	}
	h.written = time.Unix(0, from.newest)
	t, err := readDocuments(ctx, f, list, seed, h, fr)
	if err != nil {
		return nil, err
	}
	t.stamp, t.racy = from, racy(started, from)
	return t, nil
}

// readDocuments reads the documents of one load and checks them as a whole.
func readDocuments(ctx context.Context, f Feed, list []document, seed maphash.Seed, h history, fr *FeedReport) (*table, error) {
	decoder, err := f.decoder()
	if err != nil {
		return nil, err
	}
	b := newBuilder(f, seed)
	b.many = len(list) > 1
	if !f.Complete && f.URL != "" && b.many {
		b.seen = map[string]int{}
	}
	generation, err := withTexts(ctx, list, int64(f.MaxMiB)<<20, func(t *feed.Text) error {
		b.document++
		b.many = b.many || t.Name != list[0].name // of an archive
		if err := decoder.Read(t, b); err != nil {
			return err
		}
		return b.checkDocument()
	})
	if err == nil {
		if err = decoder.Finish(b); err == nil {
			err = b.check()
		}
		if err != nil {
			err = fmt.Errorf("%s %w", f.where(), err)
		}
	}
	fr.count(b)
	if err != nil {
		return nil, err
	}
	t := b.goOn(h, generation, time.Now())
	fr.InMemory = t.toDisk(h.dir, onDisk)
	return t, nil
}

// temporary gives a Loader without a folder one for the time of a load.
func (l *Loader) temporary() (*Loader, func() error, error) {
	if l.Dir != "" {
		return l, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "stackjoin-feeds-")
	if err != nil {
		return nil, nil, fmt.Errorf("folder to fetch into: %w", err)
	}
	own := *l
	own.Dir, own.passing = dir, true
	return &own, func() error { return os.RemoveAll(dir) }, nil
}
