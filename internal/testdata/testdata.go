// Package testdata finds the real sample data that tests read: osquery logs,
// feeds, the ECS field list. The data lies beside the module, not in it, and is
// never shipped; a checkout without it skips the tests that need it. Only tests
// import this package.
package testdata

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the directory of the sample data, ../shared/data seen from the
// module's root. It skips the test where that directory is absent.
func Dir(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("finding the module's root: %v", err)
	}
	dir := filepath.Join(filepath.Dir(root), "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the sample data in ../shared/data, which this checkout does not have: %v", err)
	}
	return dir
}

// moduleRoot walks up from the working directory, which go test sets to the
// tested package's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", os.ErrNotExist
		}
		dir = parent
	}
}

// Read returns one file of the sample data, its path given with slashes from
// Dir. It skips the test where there is no sample data, and fails it where only
// the file is missing.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Dir(t), filepath.FromSlash(path)))
	if err != nil {
		t.Fatalf("reading sample data: %v", err)
	}
	return text
}
