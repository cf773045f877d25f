package reputation

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/fetch"
)

// keptCopy is the last good copy of a feed on disk. Without a folder it keeps
// nothing, and everything it is asked to do is done.
type keptCopy struct {
	feed   Feed
	folder fetch.Folder
	note   fetch.Note // of this feed's source; zero where there is none
	// readOnly keeps everything as it is.
	readOnly bool
	// history tells that it has a history, of which keep is Loader.Keep.
	history bool
	keep    time.Duration
}

// copyOf opens what is kept of a feed. A copy of another source is none.
func (l *Loader) copyOf(f Feed) *keptCopy {
	c := &keptCopy{feed: f, readOnly: l.ReadOnly || l.Dir == "", history: l.Dir != "" && !l.passing, keep: l.Keep}
	if l.Dir == "" {
		return c
	}
	c.folder = folderOf(l.Dir, f.Name)
	if note, ok := c.folder.Read(); ok && note.Source == f.source() {
		c.note = note
	}
	c.note.Source = f.source()
	return c
}

func folderOf(dir, name string) fetch.Folder {
	return fetch.Folder{Dir: filepath.Join(dir, "reputation", url.PathEscape(name))}
}

// source tells feeds apart by where they come from and how they are read.
func (f Feed) source() string { return f.Preset + " " + f.Type + " " + f.Path + f.URL + f.Collection }

// read loads the copy, nil where there is no good one.
func (c *keptCopy) read(ctx context.Context, seed maphash.Seed) *table {
	if c.folder.Dir == "" || len(c.note.Documents) == 0 {
		return nil
	}
	t, err := c.readNote(ctx, c.note, c.folder, seed, c.kept(), &FeedReport{})
	if err != nil {
		return nil
	}
	t.loaded, t.next = c.note.Loaded, c.note.Next
	return t
}

// own is the folder that may be written to, empty for none.
func (c *keptCopy) own() string {
	if c.readOnly {
		return ""
	}
	return c.folder.Dir
}

// kept is the history of what is kept.
func (c *keptCopy) kept() history {
	if !c.history {
		return history{dir: c.own()}
	}
	return history{dir: c.own(), keep: c.keep, told: true, before: func(string) *past { return c.past() }}
}

// past is what is kept of the feed's past, nil where that is nothing.
func (c *keptCopy) past() *past {
	p := readHistory(c.folder.Dir, c.feed)
	if p != nil {
		p.loaded = c.note.Loaded.Unix()
	}
	return p
}

// history is what a load of a feed goes on with: the table in use, else what is kept
// on disk. A copy of another generation is read, to know what left the list while
// nobody looked.
func (l *Loader) history(ctx context.Context, c *keptCopy, old *table, seed maphash.Seed) history {
	h := history{dir: c.own(), keep: l.Keep, told: c.history}
	if !c.history && l.Keep == 0 {
		return h
	}
	h.before = func(generation string) *past {
		if old == nil && c.history && c.note.Generation != generation {
			old = c.read(ctx, seed)
		}
		switch {
		case old == nil && c.history:
			return c.past()
		case old == nil || !old.feed.sameSource(c.feed):
			return nil
		}
		p := pastOf(old)
		if !old.feed.sameSettings(c.feed) { // its rows may mean something else
			p.table, p.gone = nil, nil
		}
		return p
	}
	return h
}

func documentsOf(n fetch.Note, folder fetch.Folder) (list []document) {
	for _, d := range n.Documents {
		list = append(list, document{d.Name, folder.Path(n, d)})
	}
	return list
}

// readNote loads the documents of a note.
func (c *keptCopy) readNote(ctx context.Context, n fetch.Note, folder fetch.Folder, seed maphash.Seed, h history, fr *FeedReport) (*table, error) {
	h.written, _ = http.ParseTime(n.LastModified) // zero for none
	t, err := readDocuments(ctx, c.feed, documentsOf(n, folder), seed, h, fr)
	if err != nil {
		// What is read lies where nobody needs to look; the feed is what failed.
		var path *os.PathError
		if errors.As(err, &path) {
			return nil, fmt.Errorf("%s: its copy cannot be read: %w", c.feed.where(), path.Err)
		}
		return nil, err
	}
	return t, nil
}

// shrunk refuses data that lost too much, for what is more likely a broken
// download than good news. Other settings make it another feed.
func (c *keptCopy) shrunk(old, now *table) error {
	was := c.note.Entries
	if old != nil {
		was = 0
		if old.feed.sameSource(now.feed) {
			was = old.entries()
		}
	}
	is := now.entries()
	if is*100 < was*(100-c.feed.MaxShrink) {
		return fmt.Errorf("%s shrank from %d to %d indicators, by more than %d %%", c.feed.where(), was, is, c.feed.MaxShrink)
	}
	return nil
}

// loaded notes how a load went.
func (c *keptCopy) loaded(t *table, fr *FeedReport) {
	c.note.Generation, c.note.Entries, c.note.Loaded = t.generation, t.entries(), t.loaded.UTC()
	c.note.Rows, c.note.Refused, c.note.Skipped, c.note.Private = fr.Rows, fr.Refused, fr.Skipped, fr.Private
	c.checked()
}

// checked notes that the source says what is kept.
func (c *keptCopy) checked() {
	c.note.Checked, c.note.Failure = time.Now().UTC(), ""
	if c.feed.URL != "" {
		c.note.Next = c.note.Checked.Add(jittered(time.Duration(c.feed.Every)))
	}
}

// retryAfter is how long at most a failed fetch waits.
const retryAfter = 5 * time.Minute

// recovered notes that a feed that failed says again what is in use.
func (c *keptCopy) recovered() error {
	if c.note.Failure == "" || c.readOnly {
		return nil
	}
	c.checked()
	return c.folder.Write(c.note)
}

// failed notes why a feed failed. That it cannot be noted is no further harm.
func (c *keptCopy) failed(err error) {
	c.note.Failure = err.Error()
	if c.feed.URL != "" {
		c.note.Next = time.Now().UTC().Add(jittered(min(time.Duration(c.feed.Every), retryAfter)))
	}
	if !c.readOnly {
		_ = c.folder.Write(c.note)
	}
}

// jittered is d give or take a tenth, so that a fleet does not ask at once.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // nothing secret hangs on it
}

// keepLocal copies the files that were read. The table is in use whether or not
// that works.
func (c *keptCopy) keepLocal(t *table, fr *FeedReport) error {
	if c.readOnly {
		return nil
	}
	if err := c.importFiles(t, fr); err != nil {
		return fmt.Errorf("the feed is in use, but no copy is kept for the next start: %w", err)
	}
	return nil
}

func (c *keptCopy) importFiles(t *table, fr *FeedReport) error {
	same := c.note.Generation == t.generation && len(c.note.Documents) > 0
	c.loaded(t, fr)
	if err := writeHistory(c.folder.Dir, t); err != nil {
		return err
	}
	if same {
		return c.folder.Write(c.note)
	}
	list, err := localDocuments(c.feed.Path)
	if err != nil {
		return err
	}
	path, err := c.folder.New()
	if err != nil {
		return err
	}
	c.note.Documents = nil
	for n, d := range list {
		kept, err := fetch.Import(path, n, d.name, d.path)
		if err != nil {
			return errors.Join(err, os.RemoveAll(path))
		}
		c.note.Documents = append(c.note.Documents, kept)
	}
	if lookAt(c.feed.Path) != t.stamp { // changed meanwhile: the next load copies what it checked
		_ = os.RemoveAll(path) // else swept with the next copy
		return nil
	}
	return c.folder.Keep(path, c.note)
}

// remote reads a feed behind a URL: the copy at first, then what is new at the
// source when it is due. The error comes with the data that stay in use.
func (l *Loader) remote(ctx context.Context, f Feed, old *table, seed maphash.Seed, fr *FeedReport) (t *table, err error) {
	if l.ReadOnly {
		if t := l.copyOf(f).read(ctx, seed); t != nil {
			return t, nil
		}
		l = &Loader{Client: l.Client, Header: l.Header, Keep: l.Keep}
	}
	l, done, err := l.temporary()
	if err != nil {
		return old, err
	}
	defer func() { err = errors.Join(err, done()) }()
	c := l.copyOf(f)
	if old != nil && !old.feed.sameSettings(f) {
		old = nil
	}
	if old == nil {
		old = c.read(ctx, seed)
	}
	if old == nil { // then nothing that the server was told to have been seen counts
		c.note = fetch.Note{Source: f.source(), Entries: c.note.Entries}
	}
	if fr.Unchanged = old != nil && time.Now().Before(old.next); fr.Unchanged {
		return old, nil
	}
	t, err = l.fetch(ctx, c, old, seed, fr)
	if err != nil {
		c.failed(err)
		fr.Next = c.note.Next
		return old.until(c.note.Next), err
	}
	return t, nil
}

// fetch asks the source and reads what is new.
func (l *Loader) fetch(ctx context.Context, c *keptCopy, old *table, seed maphash.Seed, fr *FeedReport) (*table, error) {
	source, err := l.sourceOf(c.feed)
	if err != nil {
		return nil, err
	}
	path, err := c.folder.New()
	if err != nil {
		return nil, err
	}
	client := l.Client
	if client == nil {
		client = fetch.NewClient()
		defer client.CloseIdleConnections()
	}
	note, changed, err := fetch.Fetch(ctx, client, source, c.folder, c.note, path)
	if err != nil || !changed {
		err = errors.Join(err, os.RemoveAll(path))
	}
	switch {
	case err != nil:
		return nil, err
	case !changed:
		fr.Unchanged = true
		c.note.AddedAfter = note.AddedAfter
		c.checked()
		return old.until(c.note.Next), c.folder.Write(c.note)
	}
	return l.take(ctx, c, note, path, old, seed, fr)
}

// take reads what was fetched, and keeps it if it is good.
func (l *Loader) take(ctx context.Context, c *keptCopy, note fetch.Note, path string, old *table, seed maphash.Seed, fr *FeedReport) (*table, error) {
	note.Folder = filepath.Base(path)
	if old != nil && old.says(ctx, documentsOf(note, c.folder)) {
		fr.Unchanged = true
		c.note = note
		c.checked()
		return old.until(c.note.Next), c.folder.Keep(path, c.note)
	}
	t, err := c.readNote(ctx, note, c.folder, seed, l.history(ctx, c, old, seed), fr)
	if err == nil {
		err = c.shrunk(old, t)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	c.note = note
	c.loaded(t, fr)
	t.next = c.note.Next
	if c.history {
		if err := writeHistory(c.folder.Dir, t); err != nil {
			return t, err
		}
	}
	return t, c.folder.Keep(path, c.note)
}

// until is t, which may be nil, with another time at which its source is asked.
func (t *table) until(next time.Time) *table {
	if t == nil {
		return nil
	}
	c := *t
	c.next = next
	return &c
}

func (l *Loader) sourceOf(f Feed) (fetch.Source, error) {
	s := fetch.Source{
		URL: f.URL, Collection: f.Collection, MaxBytes: int64(f.MaxMiB) << 20, Timeout: time.Duration(f.Timeout),
		Complete: f.Complete, Lifetime: time.Duration(f.Lifetime), Header: http.Header{},
	}
	switch f.Preset {
	case "misp":
		s.Form = fetch.MISP
	case "taxii":
		s.Form = fetch.TAXII
	}
	if l.Header != nil {
		var err error
		if s.Header, err = l.Header(f.Name); err != nil {
			return s, fmt.Errorf("headers: %w", err)
		}
	}
	return s, nil
}
