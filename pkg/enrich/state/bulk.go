package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Bulk takes a long stretch of the changelog into the local store: it sorts much of it in
// memory and hands Pebble a file, which costs half of what the same records do one after
// the other. It is for the goroutine of its Store.
type Bulk struct {
	store   *Store
	all     []Change
	ranks   ranks
	bytes   int
	next    int64
	fetched byte // keeps the compiler from leaving fetch out
	// most bytes are made a file at once; fewer than few are written without.
	most, few int
}

const (
	// bulkBytes of records are made a file at once.
	bulkBytes = 32 << 20
	// bulkFew are written as any batch is.
	bulkFew = 1 << 20
	// bulkEach is what a record weighs beside its bytes.
	bulkEach = 64
)

// Bulk begins a restore. The Store stands where it was until records are in it, which is
// sure only after Close.
func (s *Store) Bulk() *Bulk { return &Bulk{store: s, next: s.position, most: bulkBytes, few: bulkFew} }

// Add is Restore, but for keeping the bytes of records until Close.
func (b *Bulk) Add(records []Change, next int64) error {
	before := len(b.all)
	b.grow()
	for i := range records {
		r := &records[i]
		scope, err := b.store.readable(r)
		if err != nil {
			b.all, b.ranks.all = b.all[:before], b.ranks.all[:before]
			return err
		}
		b.ranks.add(r.Key, scope, len(b.all))
		b.all = append(b.all, *r)
		b.bytes += len(r.Key) + len(r.Value) + bulkEach
	}
	b.next = next
	if b.bytes < b.most {
		return nil
	}
	return b.write()
}

// grow makes room for what a file will hold, once it is seen how large records are: to
// grow step by step would be a seventh of what restoring costs.
func (b *Bulk) grow() {
	if b.bytes < b.few || cap(b.ranks.all) > 2*len(b.all) {
		return
	}
	if more := int(float64(len(b.all)) * (1.1*float64(b.most)/float64(b.bytes) - 1)); more > 0 {
		b.all, b.ranks.all = slices.Grow(b.all, more), slices.Grow(b.ranks.all, more)
	}
}

// Close takes in what is left.
func (b *Bulk) Close() error {
	if b.bytes >= b.few {
		return b.write()
	}
	return b.store.apply(b.all, b.next)
}

func (b *Bulk) write() error {
	order := b.ranks.sort(b.key)
	if err := b.store.ingest(b, order); err != nil {
		return b.store.failed("restore", err)
	}
	clear(b.all) // lets their bytes go
	b.all, b.bytes = b.all[:0], 0
	b.ranks.reset()
	return nil
}

func (b *Bulk) key(place int) []byte { return b.all[place].Key }

// ingest puts the changes, in that order, and the position after them into the local store, as a file
// of its own: after a kill all of it is there or nothing is.
func (s *Store) ingest(b *Bulk, order []ranked) error {
	fs, path := s.files.fs, s.files.fs.PathJoin(s.files.dir, "restored.sst")
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	w := sstable.NewWriter(newFileWriter(f), s.made.MakeWriterOptions(0, s.db.TableFormat()))
	err = w.Set([]byte{metaKey}, metaOf(s.of, b.next, s.files.now())) // before all other keys
	for i := 0; i < len(order) && err == nil; i++ {
		if i%together == 0 {
			b.fetch(order[i:min(i+together, len(order))])
		}
		switch c := &b.all[order[i].place()]; {
		case i+1 < len(order) && same(order[i], order[i+1], b.key): // a later one counts
		case c.Value == nil:
			err = w.Delete(c.Key)
		default:
			err = w.Set(c.Key, c.Value)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(fmt.Errorf("file of restored state: %w", err), fs.Remove(path))
	}
	if err := s.db.Ingest(context.Background(), []string{path}); err != nil {
		return fmt.Errorf("file of restored state: %w", err)
	}
	s.recent = newRecent()
	s.position = b.next
	return nil
}

// Changes lie in memory as they came, so that most of what is read in the order of keys is
// in no cache. together of them are waited for at once: it takes a third off a restore.
const (
	together  = 16
	cacheLine = 64
)

func (b *Bulk) fetch(order []ranked) {
	var sum byte
	for i := range order {
		c := &b.all[order[i].place()]
		sum += c.Key[0]
		for at := 0; at < len(c.Value); at += cacheLine {
			sum += c.Value[at]
		}
	}
	b.fetched = sum
}

// fileWriter writes a file in large pieces: Pebble's own writes four kilobytes at a time,
// and a call for each. It implements objstorage.Writable.
type fileWriter struct {
	file vfs.File
	buf  *bufio.Writer
}

const fileBuffer = 256 << 10

func newFileWriter(f vfs.File) *fileWriter { return &fileWriter{f, bufio.NewWriterSize(f, fileBuffer)} }

// Write implements objstorage.Writable.
func (w *fileWriter) Write(p []byte) error {
	_, err := w.buf.Write(p)
	return err //nolint:wrapcheck // it names the file
}

// Finish implements objstorage.Writable.
func (w *fileWriter) Finish() error {
	err := w.buf.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	return errors.Join(err, w.file.Close())
}

// Abort implements objstorage.Writable.
func (w *fileWriter) Abort() { _ = w.file.Close() }
