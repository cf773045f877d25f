package spool

import (
	"fmt"
	"os"
)

const lockName = "lock"

// Lock is the right to use a spool. It ends with the process that holds it,
// however that ends.
type Lock struct{ file *os.File }

// TryLock makes the spool's folder, or shuts an existing one to others (0700), and
// takes its lock without waiting; ok is false when another process has it.
func TryLock(dir string) (l *Lock, ok bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("spool folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("spool folder: %w", err)
	}
	f, ok, err := lockFile(dir)
	if err != nil || !ok {
		return nil, false, err
	}
	return &Lock{f}, true, nil
}

// Unlock gives the lock up.
func (l *Lock) Unlock() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock spool: %w", err)
	}
	return nil
}
