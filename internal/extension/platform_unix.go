//go:build !windows

package extension

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// maxSocketPath leaves room for ".65535" within the 103 bytes that every Unix
// allows in the path of a socket.
const maxSocketPath = 97

// dial connects to a socket. It fails at once where nobody listens.
func dial(path string, timeout time.Duration) (thrift.TTransport, error) {
	conn, err := net.DialTimeout("unix", path, timeout) //nolint:noctx // bounded by its own time-out
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	return thrift.NewTSocketFromConnConf(conn, nil), nil
}

// isGone tells whether dialling failed because there is no socket, or none that
// anybody listens on.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// removeStale removes a socket that an earlier process left under this path.
// osqueryd gives a UUID to one extension at a time, so it is nobody's.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for a stale extension socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way of the extension socket: %w", path, fs.ErrExist)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a stale extension socket: %w", err)
	}
	return nil
}

// restrict lets only this user (and root) connect.
func restrict(path string) error { return os.Chmod(path, 0o600) } //nolint:wrapcheck // the caller says what for

// WatchParent returns a function that says whether the parent process still lives:
// once it has ended, this process has another one. release frees what the watch
// holds. alive is safe for concurrent use.
func WatchParent() (alive func() bool, release func()) {
	parent := os.Getppid()
	return func() bool { return os.Getppid() == parent }, func() {}
}
