//go:build unix

package pace

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessCPU is the processor time, user and system, that this process has used.
func ProcessCPU() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
