//go:build !windows

package extension

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func testServer(t *testing.T) (s *server, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sj")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg, err := Config{Socket: "em", Accept: func(context.Context, Call) error { return nil }}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return newServer(newPlugin(cfg, func() {}), slog.New(slog.DiscardHandler)), dir
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	s, dir := testServer(t)
	path := filepath.Join(dir, "em.1")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := s.listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	l.close()
	s.stop(t.Context())
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenKeepsOtherFiles(t *testing.T) {
	s, dir := testServer(t)
	path := filepath.Join(dir, "em.2")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.listen(path); err == nil {
		t.Error("listened where a file is")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file became %q, %v", text, err)
	}
	s.stop(t.Context())
}

func TestIsGone(t *testing.T) {
	_, dir := testServer(t)
	path := filepath.Join(dir, "em")
	if _, err := dial(path, time.Second); !isGone(err) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := dial(path, time.Second); !isGone(err) {
		t.Errorf("a socket that nobody listens on: %v", err)
	}
	if isGone(fs.ErrPermission) || isGone(nil) {
		t.Error("other errors do not mean that osqueryd is gone")
	}
}
