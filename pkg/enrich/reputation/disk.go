package reputation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"
)

// onDisk is from how many bytes on a table leaves on disk what only hits read.
const onDisk = 4 << 20

// mapped is a part of a file that is read as memory, until nobody holds it.
type mapped struct{ data []byte }

// toDisk moves what only hits read, which is most of a table, to a file without a
// name in dir, empty for the system's folder: the kernel keeps in memory of it what is
// read. The table is as it was where that fails, and where it is less than least bytes.
//
// Whoever reads these parts holds on to the table until it is done.
func (t *table) toDisk(dir string, least int) error {
	parts := []*[]byte{
		bytesOf(&t.v4.rows), bytesOf(&t.v6.rows), bytesOf(&t.keys.rows), bytesOf(&t.details), bytesOf(&t.idents), bytesOf(&t.keys.texts), bytesOf(&t.words),
	}
	size := 0
	for _, p := range parts {
		size += padded(len(*p))
	}
	if size < least {
		return nil
	}
	file, err := newFile(dir)
	if err != nil {
		return err
	}
	err = errors.Join(writeParts(file, parts), os.Remove(file.Name()))
	var data []byte
	if err == nil {
		data, err = mapFile(file, size)
	}
	if err = errors.Join(err, file.Close()); err != nil || data == nil {
		return err
	}
	at := 0
	next := func(n int) []byte {
		from := at
		at += padded(n)
		return data[from : from+n : from+n]
	}
	t.v4.rows = sliceOf[row](next(len(*parts[0])))
	t.v6.rows = sliceOf[row](next(len(*parts[1])))
	t.keys.rows = sliceOf[row](next(len(*parts[2])))
	t.details = sliceOf[detail](next(len(*parts[3])))
	t.idents = sliceOf[ident](next(len(*parts[4])))
	t.keys.texts, t.words = next(len(*parts[5])), next(len(*parts[6]))
	t.disk = &mapped{data}
	runtime.AddCleanup(t.disk, unmap, data)
	return nil
}

// newFile makes an empty file in dir, without what a crash has left there.
func newFile(dir string) (*os.File, error) {
	if dir != "" {
		left, _ := filepath.Glob(filepath.Join(dir, "index-*")) // cannot be a bad pattern
		for _, old := range left {
			_ = os.Remove(old) // the next load tries again
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("folder for an index: %w", err)
		}
	}
	file, err := os.CreateTemp(dir, "index-")
	if err != nil {
		return nil, fmt.Errorf("file for an index: %w", err)
	}
	return file, nil
}

// padded is n and what is left out after it, so that numbers are aligned.
func padded(n int) int { return (n + 7) &^ 7 }

func writeParts(file *os.File, parts []*[]byte) error {
	for _, p := range parts {
		_, err := file.Write(*p)
		if err == nil {
			_, err = file.Write(make([]byte, padded(len(*p))-len(*p)))
		}
		if err != nil {
			return fmt.Errorf("file for an index: %w", err)
		}
	}
	return nil
}

// bytesOf is a slice of plain numbers as the bytes it is in memory. They are read by
// this process alone.
func bytesOf[T row | detail | ident | byte](s *[]T) *[]byte {
	var one T
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(*s))), len(*s)*int(unsafe.Sizeof(one))) //nolint:gosec // plain numbers, and as many as there are
	return &b
}

// sliceOf is the reverse, of bytes that are aligned.
func sliceOf[T row | detail | ident](b []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(one))) //nolint:gosec // as above
}
