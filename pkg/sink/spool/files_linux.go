package spool

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dataSynced syncs a file's data and what is needed to find it, not its times.
type dataSynced struct{ *os.File }

func (f dataSynced) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err //nolint:wrapcheck // the caller names the file
		}
	}
}

func diskSpace(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
