package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Bounds of one local store. There is one for each partition held, so they are
// small: the whole of it is to be rebuilt from the changelog, and fast reads are
// the operators' own affair.
const (
	memTable = 8 << 20
	// Pebble takes its memtables, of which two may be in use, out of the cache. What is
	// left has the filters of the files: without them in memory each look for a key that
	// is not there reads from the disk.
	blockCache = 2*memTable + 8<<20
	openFiles  = 128
	// Merging files is most of what a write costs. So it is put off: reads look
	// into up to so many files first, whose filters spare most of them.
	filesUnmerged  = 12
	lowestUnmerged = 256 << 20
)

// tombstoneLife is how long a changelog keeps, at the least, that a key was
// removed: half of Kafka's default (delete.retention.ms). A local store that was
// last written to before that may hold keys whose removal it can no longer learn.
const tombstoneLife = 12 * time.Hour

// Config says where a Store is kept and what it writes.
type Config struct {
	// Dir is a folder of this partition's own. Empty keeps it in memory.
	Dir string
	// Format to write: 0 means the newest.
	Format int
	Of     Changelog
}

// ErrInUse is returned by Open when another process holds the folder.
var ErrInUse = errors.New("state folder in use")

// Open opens the partition's local store, or makes an empty one. One that cannot
// be read, is of another changelog or is too old is removed first; discarded then
// says why. The caller restores the changelog from Position on before anything
// else, and closes the Store.
func Open(cfg Config) (s *Store, discarded string, err error) {
	formats, err := newFormats(Format, cfg.Format)
	if err != nil {
		return nil, "", err
	}
	fs := vfs.Default
	if cfg.Dir == "" {
		fs, cfg.Dir = vfs.NewMem(), "memory"
	}
	return open(cfg, formats, &files{dir: cfg.Dir, fs: fs, now: time.Now})
}

func open(cfg Config, formats formats, f *files) (s *Store, discarded string, err error) {
	if err := f.lock(); err != nil {
		return nil, "", err
	}
	s = &Store{files: f, of: cfg.Of, formats: formats, scopes: map[string]*scope{}, known: map[enrich.Host]bool{}}
	if err := s.load(); err != nil {
		discarded = err.Error()
		if err := errors.Join(f.remove(), s.load()); err != nil {
			return nil, "", fmt.Errorf("state folder %s: %w", f.dir, errors.Join(err, f.unlock()))
		}
	}
	return s, discarded, nil
}

// load opens the local store and checks whether it can be believed.
func (s *Store) load() (err error) {
	// A damaged file makes pebble fail, and in odd places panic.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open: %v", p)
		}
	}()
	s.broken.Store(false)
	s.harmed = make(chan struct{})
	s.recent = newRecent()
	s.made = s.options()
	if s.db, err = pebble.Open(s.files.path(), s.made); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := s.check(); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Store) check() error {
	value, err := s.get([]byte{metaKey})
	if err != nil {
		return err
	}
	s.position = 0
	if value == nil {
		return s.mustBeEmpty()
	}
	of, position, written, err := parseMeta(value)
	switch {
	case err != nil:
		return err
	case of != s.of:
		return fmt.Errorf("it is a copy of %s/%d with id %x", of.Topic, of.Partition, of.ID)
	case s.files.now().Sub(written) > tombstoneLife:
		return fmt.Errorf("last written to at %s, longer ago than removals are sure to be kept", written.UTC().Format(time.RFC3339))
	case written.Sub(s.files.now()) > tombstoneLife:
		return fmt.Errorf("last written to at %s, by a clock that was wrong", written.UTC().Format(time.RFC3339))
	}
	s.position = position
	return nil
}

// mustBeEmpty refuses a local store that does not say which part of the changelog
// it holds.
func (s *Store) mustBeEmpty() error {
	return s.walk(nil, nil, func(_, _ []byte) error { return errors.New("it has keys and no position") })
}

// files is the folder of one local store: LOCK, and db, which pebble owns.
type files struct {
	dir  string
	fs   vfs.FS
	held io.Closer
	now  func() time.Time
}

func (f *files) path() string { return f.fs.PathJoin(f.dir, "db") }

func (f *files) lock() error {
	if err := f.fs.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	held, err := f.fs.Lock(f.fs.PathJoin(f.dir, "LOCK"))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInUse, f.dir, err)
	}
	f.held = held
	return nil
}

func (f *files) unlock() error { return f.held.Close() }

func (f *files) remove() error {
	return f.fs.RemoveAll(f.path()) //nolint:wrapcheck // the callers name the folder
}

func (s *Store) options() *pebble.Options {
	o := &pebble.Options{
		FS: s.files.fs, Logger: quiet{},
		FormatMajorVersion: pebble.FormatNewest,
		// Without a log of its own a kill loses the last few megabytes, as a
		// whole: the store is then an older copy, and says so by its position.
		DisableWAL:   true,
		MemTableSize: memTable, CacheSize: blockCache, MaxOpenFiles: openFiles,
		L0CompactionThreshold: filesUnmerged, L0StopWritesThreshold: 4 * filesUnmerged, LBaseMaxBytes: lowestUnmerged,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		DisableTableStats:          true,
		// A file that cannot be merged with others is noticed there first.
		EventListener: &pebble.EventListener{
			BackgroundError: s.harm(),
			DataCorruption:  func(pebble.DataCorruptionInfo) { s.broken.Store(true) },
		},
	}
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	o.EnsureDefaults()
	return o
}

// harmPause is between two tries to write to a disk that takes nothing: Pebble makes none.
const harmPause = 100 * time.Millisecond

// harm is told that the local store could not be written.
func (s *Store) harm() func(error) {
	once, harmed := sync.Once{}, s.harmed
	return func(error) {
		s.broken.Store(true)
		once.Do(func() { close(harmed) })
		<-time.After(harmPause)
	}
}

// quiet drops pebble's tales of its housekeeping. What fails comes as an error.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is called when pebble cannot go on, such as when it cannot write its list
// of files. It must not return.
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) //nolint:forbidigo // the interface allows nothing else
}

// metaKey holds what the local store is a copy of. No key of the changelog begins
// so.
const metaKey = 0

const metaVersion = 1

// metaOf encodes: version, topic id, partition, position, Unix time, topic.
func metaOf(of Changelog, position int64, now time.Time) []byte {
	dst := append([]byte{metaVersion}, of.ID[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(of.Partition))
	dst = binary.BigEndian.AppendUint64(dst, uint64(position))
	dst = binary.BigEndian.AppendUint64(dst, uint64(now.Unix()))
	return append(dst, of.Topic...)
}

const metaFixed = 1 + 16 + 4 + 8 + 8

func parseMeta(b []byte) (of Changelog, position int64, written time.Time, err error) {
	if len(b) < metaFixed || b[0] != metaVersion {
		return of, 0, written, errors.New("its position is cut short, or of another version")
	}
	copy(of.ID[:], b[1:])
	of.Partition = int32(binary.BigEndian.Uint32(b[17:]))
	position = int64(binary.BigEndian.Uint64(b[21:]))
	written = time.Unix(int64(binary.BigEndian.Uint64(b[29:])), 0)
	of.Topic = string(b[metaFixed:])
	if position < 0 {
		return of, 0, written, errors.New("its position is negative")
	}
	return of, position, written, nil
}
