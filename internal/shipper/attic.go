package shipper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultAtticBytes is what an Attic keeps unless told otherwise.
const DefaultAtticBytes = 256 << 20

// Attic keeps records that are too large to ship, one file each, up to a total.
// What comes when it is full is not kept: the oldest evidence is worth as much
// as the newest, and an attacker must not be able to push it out.
type Attic struct {
	// Dir is its folder, made when first needed, 0700.
	Dir string
	// MaxBytes bounds the files together; 0 means DefaultAtticBytes.
	MaxBytes int64
}

// errAtticFull is returned by Keep for what does not fit.
var errAtticFull = errors.New("the folder for oversized records is full: take out what is there, or raise oversized_max_bytes")

// Keep writes value to a file called name and returns its path. Keeping the same
// name again is no change.
func (a *Attic) Keep(name string, value []byte) (path string, err error) {
	limit := a.MaxBytes
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
	held, err := a.held()
	if err != nil {
		return "", err
	}
	if held+int64(len(value)) > limit {
		return "", errAtticFull
	}
	if err := os.WriteFile(path, value, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("oversized records: %w", err), os.Remove(path))
	}
	return path, nil
}

func (a *Attic) held() (total int64, err error) {
	entries, err := os.ReadDir(a.Dir)
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
	return total, nil
}
