package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stackjoin/stackjoin/internal/durable"
)

// Folder keeps objects as files below a folder. For several processes it has to be one
// that all of them see.
type Folder string

// Put implements Objects: the file is there whole, and after a power cut too, or not.
func (f Folder) Put(_ context.Context, name string, data []byte) error {
	path := f.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	work, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = work.Write(data)
	if err == nil {
		err = work.Sync()
	}
	err = errors.Join(err, work.Close())
	if err == nil {
		err = os.Rename(work.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write: %w", errors.Join(err, os.Remove(work.Name())))
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Get implements Objects.
func (f Folder) Get(_ context.Context, name string) ([]byte, error) {
	data, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return data, nil
}

// Delete implements Objects.
func (f Folder) Delete(_ context.Context, names []string) error {
	var all error
	for _, name := range names {
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

func (f Folder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }
