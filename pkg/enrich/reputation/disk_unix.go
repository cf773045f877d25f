//go:build unix

package reputation

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile shows the first size bytes of a file as memory.
func mapFile(file *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("file for an index: %w", err)
	}
	return data, nil
}

func unmap(data []byte) { _ = unix.Munmap(data) } // there is nobody to tell
