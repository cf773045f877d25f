//go:build !windows

package extension_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// roleVariable makes this test binary play another part: "watcher" starts an
// "extension" and lives until its standard input ends.
const roleVariable = "STACKJOIN_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "watcher":
		playWatcher()
	case "extension":
		playExtension()
	default:
		goleak.VerifyTestMain(m)
	}
}

func playWatcher() {
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), roleVariable+"=extension")
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		fmt.Println("watcher:", err)
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func playExtension() {
	fmt.Println("end:", extension.Run(context.Background(), extension.Config{
		Socket:   os.Args[1],
		Interval: 20 * time.Millisecond,
		Accept:   func(context.Context, extension.Call) error { return nil },
	}))
}

// The extension's own parent is asked for here, not a stand-in.
func TestNoticesItsParentsEnd(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	watcher := exec.Command(os.Args[0], socket)
	watcher.Env = append(os.Environ(), roleVariable+"=watcher")
	stdin, err := watcher.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	watcher.Stdout = write
	if err := watcher.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	activate(t, d)
	d.Kill()
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := watcher.Wait(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when the last process that holds it does: the extension.
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(read)
	if err != nil || string(said) != "end: <nil>\n" {
		t.Errorf("the extension said %q, %v", said, err)
	}
}
