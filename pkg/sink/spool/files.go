package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/stackjoin/stackjoin/internal/durable"
)

// file is an open file of the spool.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// fileSystem is how the spool reaches its folder; names are relative to it. It
// exists so that tests can cut the power.
type fileSystem struct {
	// open opens a file for reading, create for writing too: it makes it when it
	// is missing.
	open    func(name string) (file, error)
	create  func(name string) (file, error)
	size    func(name string) (int64, error)
	remove  func(name string) error
	list    func() ([]string, error)
	syncDir func() error
	// space is how many bytes the disk has left for us, and in all.
	space func() (free, total uint64, err error)
}

// onDisk is the real folder dir.
func onDisk(dir string) *fileSystem {
	path := func(name string) string { return filepath.Join(dir, name) }
	open := func(name string, flag int) (file, error) {
		f, err := os.OpenFile(path(name), flag, 0o600)
		if err != nil {
			return nil, err //nolint:wrapcheck // os names the file
		}
		return dataSynced{f}, nil
	}
	return &fileSystem{
		open:   func(name string) (file, error) { return open(name, os.O_RDONLY) },
		create: func(name string) (file, error) { return open(name, os.O_RDWR|os.O_CREATE) },
		size: func(name string) (int64, error) {
			info, err := os.Stat(path(name))
			if err != nil {
				return 0, err //nolint:wrapcheck // os names the file
			}
			return info.Size(), nil
		},
		remove:  func(name string) error { return os.Remove(path(name)) },
		list:    func() ([]string, error) { return listFiles(dir) },
		syncDir: func() error { return durable.SyncDir(dir) },
		space:   func() (free, total uint64, err error) { return diskSpace(dir) },
	}
}

func listFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err //nolint:wrapcheck // os names the folder
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// overwrite replaces a small file's content in place and makes it durable.
func (fs *fileSystem) overwrite(name string, b []byte) (err error) {
	_, statErr := fs.size(name)
	f, err := fs.create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if statErr != nil {
		return fs.syncDir()
	}
	return nil
}

// readFile returns at most limit bytes of a file.
func (fs *fileSystem) readFile(name string, limit int64) (b []byte, err error) {
	f, err := fs.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.NewSectionReader(f, 0, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// segments are the numbers of the segment files, ascending.
func (fs *fileSystem) segments() (numbers []uint64, err error) {
	names, err := fs.list()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var n uint64
		if _, err := fmt.Sscanf(name, "%d", &n); err == nil && name == segmentName(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil // names of equal length come sorted
}

const segmentSuffix = ".seg"

func segmentName(n uint64) string { return fmt.Sprintf("%020d", n) + segmentSuffix }
