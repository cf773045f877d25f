package extension

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/transport"
	"golang.org/x/sys/windows"
)

// maxSocketPath leaves room for ".65535" within the 256 characters of a pipe name.
const maxSocketPath = 250

// dial connects to a named pipe. It fails at once where there is none.
func dial(path string, timeout time.Duration) (thrift.TTransport, error) {
	conn, err := transport.Open(path, timeout)
	if err != nil {
		return nil, rootCause(err)
	}
	return conn, nil
}

// rootCause unwraps the errors of osquery-go, which know Cause but not Unwrap.
func rootCause(err error) error {
	var wrapped interface{ Cause() error }
	if errors.As(err, &wrapped) {
		return wrapped.Cause()
	}
	return err
}

// isGone tells whether dialling failed because there is no such pipe.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// removeStale has nothing to do: a pipe ends with its process.
func removeStale(string) error { return nil }

// restrict has nothing to do: a pipe's default access is its creator's,
// administrators' and the system's.
func restrict(string) error { return nil }

// WatchParent returns a function that says whether the parent process still lives.
// Its handle is held, so that no other process can take its id; release closes it,
// after which alive must not be called. alive is safe for concurrent use.
func WatchParent() (alive func() bool, release func()) {
	parent, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(os.Getppid()))
	if err != nil {
		// No process of that id: the parent has ended. Otherwise it can not be
		// watched, and is taken to live.
		ended := errors.Is(err, windows.ERROR_INVALID_PARAMETER)
		return func() bool { return !ended }, func() {}
	}
	alive = func() bool {
		event, err := windows.WaitForSingleObject(parent, 0)
		return err != nil || event == uint32(windows.WAIT_TIMEOUT)
	}
	return alive, func() { _ = windows.CloseHandle(parent) }
}
