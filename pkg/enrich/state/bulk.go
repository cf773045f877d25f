package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Bulk takes a long stretch of the changelog into the local store: it sorts much of it in
// memory and hands Pebble a file, which costs half of what the same records do one after
// the other. It is for the goroutine of its Store.
type Bulk struct {
	store *Store
	all   []Change
	order []ranked
	bytes int
	next  int64
	// most bytes are made a file at once; fewer than few are written without.
	most, few int
}

// ranked is a change by its place, and the eight bytes of its key behind those that all
// keys begin with: most keys are told apart by them, without a look at where they lie.
type ranked struct {
	key   uint64
	place int32
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
	if err := b.store.readable(records); err != nil {
		return err
	}
	b.all = append(b.all, records...)
	for i := range records {
		b.bytes += len(records[i].Key) + len(records[i].Value) + bulkEach
	}
	b.next = next
	if b.bytes < b.most {
		return nil
	}
	return b.write()
}

// Close takes in what is left.
func (b *Bulk) Close() error {
	if b.bytes >= b.few {
		return b.write()
	}
	return b.store.apply(b.all, b.next)
}

func (b *Bulk) write() error {
	b.rank()
	if err := b.store.ingest(b.all, b.order, b.next); err != nil {
		return b.store.failed("restore", err)
	}
	clear(b.all) // lets their bytes go
	b.all, b.bytes = b.all[:0], 0
	return nil
}

// rank puts the changes in the order of their keys, those of one key as they came.
func (b *Bulk) rank() {
	shared := len(b.all[0].Key)
	for i := range b.all {
		shared = sharedBytes(b.all[0].Key[:shared], b.all[i].Key)
	}
	b.order = b.order[:0]
	for i := range b.all {
		var next [8]byte
		copy(next[:], b.all[i].Key[shared:])
		b.order = append(b.order, ranked{binary.BigEndian.Uint64(next[:]), int32(i)})
	}
	slices.SortFunc(b.order, func(x, y ranked) int {
		if x.key != y.key {
			return cmp.Compare(x.key, y.key)
		}
		return cmp.Or(bytes.Compare(b.all[x.place].Key[shared:], b.all[y.place].Key[shared:]), cmp.Compare(x.place, y.place))
	})
}

// sharedBytes is how many bytes two texts begin with alike.
func sharedBytes(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// ingest puts changes, in that order, and the position after them into the local store, as a file
// of its own: after a kill all of it is there or nothing is.
func (s *Store) ingest(all []Change, order []ranked, position int64) error {
	fs, path := s.files.fs, s.files.fs.PathJoin(s.files.dir, "restored.sst")
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.made.MakeWriterOptions(0, s.db.TableFormat()))
	err = w.Set([]byte{metaKey}, metaOf(s.of, position, s.files.now())) // before all other keys
	for i := 0; i < len(order) && err == nil; i++ {
		switch c := &all[order[i].place]; {
		case i+1 < len(order) && order[i].key == order[i+1].key && bytes.Equal(c.Key, all[order[i+1].place].Key): // a later one counts
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
	s.position = position
	return nil
}
