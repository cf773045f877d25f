// Package testserver is what tests need to run real servers: pinned versions, the
// folder they were fetched into, free ports, and programs that end with the test.
//
// It must never be imported outside tests, leave a program running behind a test,
// or hide in CI that a server could not be started.
package testserver

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Absent skips the test for want of a server, but fails it in CI (CI=true), which
// has to have them all.
func Absent(t testing.TB, server string, why error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no real %s: %v", server, why)
	}
	t.Skipf("no real %s: %v", server, why)
}

// Fetched returns the folder that a script of scripts/ has fetched a server into: in
// the cache, with the version pinned under this name as its suffix.
func Fetched(server, versionName, script string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	version, err := pinned(filepath.Join(root, "scripts", "versions.env"), versionName)
	if err != nil {
		return "", err
	}
	cache := os.Getenv("STACKJOIN_CACHE")
	if cache == "" {
		cache = filepath.Join(root, ".bin")
	}
	dir := filepath.Join(cache, server+"-"+version)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%s is missing, run scripts/%s fetch: %w", server, script, err)
	}
	return dir, nil
}

// repository returns the folder of go.mod, above a test's working folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the repository: no go.mod above the test")
		}
	}
}

// pinned returns the value of a NAME=value line.
func pinned(file, name string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("pinned versions: %w", err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("pinned versions: no %s in %s", name, file)
}

// FreePorts finds n loopback ports that nobody listens on. Another process may
// take one before the caller does; a test that meets this fails to start its
// server and says so.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		defer func() { _ = l.Close() }() // all together at the end, so that no port comes twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// LastWords returns the end of a log file.
func LastWords(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
