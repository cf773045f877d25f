package spool

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const childVariable = "SPOOL_TEST_CHILD_DIR"

func childRequested() bool { return os.Getenv(childVariable) != "" }

// child appends for ever and says each seq once it is promised.
func child() {
	s, err := Open(context.Background(), Config{Dir: os.Getenv(childVariable), MinFree: -1, SegmentBytes: 64 << 10})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := 0; ; i++ {
		seq, err := s.Append(context.Background(), call(fmt.Sprintf("%d %s", i, strings.Repeat("x", i%3000))))
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(seq)
	}
}

// Promise 1 with a real process: kill -9 at any moment loses nothing that Append
// returned nil for.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	promised := uint64(0)
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range 40 + 37*round {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			var seq uint64
			if _, err := fmt.Sscan(lines.Text(), &seq); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			if seq != promised+1 && round == 0 {
				t.Fatalf("seq %d after %d", seq, promised)
			}
			promised = max(promised, seq)
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() { // promised before the kill, read after it
			var seq uint64
			if _, err := fmt.Sscan(lines.Text(), &seq); err == nil {
				promised = max(promised, seq)
			}
		}
		_ = cmd.Wait()
	}
	s := openDir(t, dir)
	defer s.Close()
	seen := map[uint64]bool{}
	for s.Ready() {
		seen[next(t, s).Seq] = true
	}
	for seq := uint64(1); seq <= promised; seq++ {
		if !seen[seq] {
			t.Fatalf("seq %d was promised and is lost (of %d)", seq, promised)
		}
	}
}

func TestLockIsHeldByOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	l, ok, err := TryLock(dir)
	if err != nil || !ok {
		t.Fatalf("lock: %v %v", ok, err)
	}
	if _, ok, err := TryLock(dir); err != nil || ok {
		t.Errorf("the lock was given twice: %v %v", ok, err)
	}
	must(t, l.Unlock())
	again, ok, err := TryLock(dir)
	if err != nil || !ok {
		t.Fatalf("lock after unlock: %v %v", ok, err)
	}
	must(t, again.Unlock())
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the folder's mode is %v", info.Mode())
	}
}
