package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// spooled makes a spool of these payloads and returns its folder and the spool,
// still open.
func spooled(t *testing.T, payloads ...string) (dir string, s *spool.Spool) {
	t.Helper()
	dir = t.TempDir()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		if _, err := s.Append(context.Background(), spool.Call{Stream: "results", Type: 'S', Payload: []byte(p)}); err != nil {
			t.Fatal(err)
		}
	}
	return dir, s
}

// The commands look into a spool that is in use, and change nothing.
func TestSpoolCommandsBesideARunningSpool(t *testing.T) {
	dir, s := spooled(t, "one", "two\x1b[31m", "three \xff")
	defer s.Close()
	f, err := s.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(f.After(nil)); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	out, stderr, code := program(t, "spool", "stat", "--dir", dir)
	if code != 0 || !strings.Contains(out, s.Agent()) || !strings.Contains(out, "waiting calls  2") || !strings.Contains(out, "calls          3") {
		t.Errorf("stat: exit %d, %q, %q", code, out, stderr)
	}
	if out, stderr, code := program(t, "spool", "verify", "--dir", dir); code != 0 || !strings.Contains(out, "3 calls in 1 segments: ok") {
		t.Errorf("verify: exit %d, %q, %q", code, out, stderr)
	}
	out, stderr, code = program(t, "spool", "dump", "--dir", dir, "--from", "2")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 2 || strings.ContainsAny(out, "\x1b\xff") {
		t.Fatalf("dump: exit %d, %q, %q", code, out, stderr)
	}
	var call struct {
		Name, Payload string
		Waiting       bool
		Base64        []byte `json:"payload_base64"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &call); err != nil || call.Payload != "two\x1b[31m" || !call.Waiting || !strings.HasSuffix(call.Name, "/2") {
		t.Errorf("call %+v, %v", call, err)
	}
	if err := json.Unmarshal([]byte(lines[1]), &call); err != nil || string(call.Base64) != "three \xff" {
		t.Errorf("call %+v, %v", call, err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the folder changed:\n%s\n%s", before, after)
	}
}

func listing(t *testing.T, dir string) (all string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all += fmt.Sprintln(e.Name(), info.Size(), info.ModTime())
	}
	return all
}

// verify says where the damage is, and exits 1.
func TestSpoolVerifyNamesTheDamage(t *testing.T) {
	dir, s := spooled(t, "one", "two", "three")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%v, %v", segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "two")
	b[at] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := program(t, "spool", "verify", "--dir", dir)
	if code != 1 || !strings.Contains(out, filepath.Base(segments[0])) || !strings.Contains(out, "are damaged") || !strings.Contains(stderr, "1 ranges") {
		t.Errorf("exit %d, %q, %q", code, out, stderr)
	}
}

func TestSpoolCommandsSayWhatIsMissing(t *testing.T) {
	if _, stderr, code := program(t, "spool", "stat", "--dir", "/no/such/spool"); code != 1 || !strings.Contains(stderr, "/no/such/spool") {
		t.Errorf("a missing folder: exit %d, %q", code, stderr)
	}
	if _, stderr, code := program(t, "spool", "stat", "--config", "/no/such/file"); code != 1 || !strings.Contains(stderr, "--dir") {
		t.Errorf("a missing configuration: exit %d, %q", code, stderr)
	}
}
