package shipper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// DefaultAtticBytes is what an Attic keeps unless told otherwise.
const DefaultAtticBytes = 256 << 20

// Attic keeps records that are too large to ship, one file each, up to a total.
// What comes when it is full is not kept: the oldest evidence is worth as much
// as the newest, and an attacker must not be able to push it out.
// It is for one goroutine, but for Held and SetMaxBytes. NewAttic makes one.
type Attic struct {
	// Dir is its folder, made when first needed, 0700.
	Dir string
	// MaxBytes bounds the files together; 0 means DefaultAtticBytes.
	MaxBytes int64

	changed atomic.Int64
	// held is the size of its files, as far as that was looked at.
	held atomic.Int64
}

// SetMaxBytes changes MaxBytes.
func (a *Attic) SetMaxBytes(n int64) { a.changed.Store(n) }

// NewAttic returns an Attic in dir, which need not be there.
func NewAttic(dir string, maxBytes int64) *Attic {
	a := &Attic{Dir: dir, MaxBytes: maxBytes}
	_, _ = a.measure() // a folder that cannot be read is told of when it is needed
	return a
}

// Held is the size of the files that are kept.
func (a *Attic) Held() int64 { return a.held.Load() }

// errAtticFull is returned by Keep for what does not fit.
var errAtticFull = errors.New("the folder for oversized records is full: take out what is there, or raise oversized_max_bytes")

// Keep writes value to a file called name and returns its path. Keeping the same
// name again is no change.
func (a *Attic) Keep(name string, value []byte) (path string, err error) {
	limit := a.MaxBytes
	if changed := a.changed.Load(); changed > 0 {
		limit = changed
	}
	if limit <= 0 {
		limit = DefaultAtticBytes
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return "", fmt.Errorf("oversized records: %w", err)
	}
	path = filepath.Join(a.Dir, name)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(value)) {
		return path, nil
	}
	held, err := a.measure()
	if err != nil {
		return "", err
	}
	if held+int64(len(value)) > limit {
		return "", errAtticFull
	}
	if err := os.WriteFile(path, value, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("oversized records: %w", err), os.Remove(path))
	}
	a.held.Store(held + int64(len(value)))
	return path, nil
}

// measure looks at the files: somebody may have taken some out.
func (a *Attic) measure() (total int64, err error) {
	entries, err := os.ReadDir(a.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("oversized records: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("oversized records: %w", err)
		}
		total += info.Size()
	}
	a.held.Store(total)
	return total, nil
}
