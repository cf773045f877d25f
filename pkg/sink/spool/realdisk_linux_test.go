package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk is a file system of its own that holds size bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small file system cannot be mounted here (root may): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A real disk that is full under each policy: no error but ErrFull, nothing that
// was promised is lost but by the policy, and all that is missing is named. When
// others have given room back, calls are taken again.
func TestARealDiskThatIsFull(t *testing.T) {
	for policy, when := range map[string]WhenFull{"drop_oldest": DropOldest, "drop_newest": DropNewest, "block": Block} {
		t.Run(policy, func(t *testing.T) {
			disk := smallDisk(t, 2<<20)
			s := openDir(t, filepath.Join(disk), func(c *Config) { c.WhenFull, c.SegmentBytes, c.BlockFor = when, 64<<10, 1 })
			hog := filepath.Join(disk, "hog")
			must(t, os.WriteFile(hog, make([]byte, 1<<20), 0o600))
			filler := strings.Repeat("x", 10<<10)
			promised := map[uint64]bool{}
			for i := range 200 {
				seq, err := s.Append(t.Context(), call(fmt.Sprint(i+1, " ", filler)))
				if err != nil && !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				promised[seq] = err == nil
			}
			must(t, os.Remove(hog))
			last := add(t, s, "201 ")
			checkNamed(t, s, last, promised, when == DropOldest)
			must(t, s.Close())
		})
	}
}

// checkNamed reads all and wants each seq to have come or to be told.
func checkNamed(t *testing.T, s *Spool, last uint64, promised map[uint64]bool, mayDrop bool) {
	t.Helper()
	came, gone := map[uint64]bool{}, map[uint64]bool{}
	for s.Ready() {
		f := next(t, s)
		came[f.Seq] = true
		for _, l := range f.Missing {
			for seq := l.From; seq <= l.To; seq++ {
				gone[seq] = true
			}
		}
	}
	for seq := uint64(1); seq <= last; seq++ {
		if came[seq] == gone[seq] {
			t.Errorf("seq %d came: %v, is told to be missing: %v", seq, came[seq], gone[seq])
		}
		if promised[seq] && !came[seq] && !mayDrop {
			t.Errorf("seq %d was promised and is lost", seq)
		}
	}
	if len(gone) == 0 {
		t.Error("nothing was dropped: the disk was never full")
	}
}

// A real disk that becomes read-only: calls are held, and written when it is
// writable again.
func TestARealDiskThatBecomesReadOnly(t *testing.T) {
	disk := smallDisk(t, 4<<20)
	s := openDir(t, disk, func(c *Config) { c.SegmentBytes = 4 << 10 })
	defer s.Close()
	add(t, s, "1")
	// Files that are open for writing forbid it; a new segment then finds it out.
	s.disk.Lock()
	must(t, s.endSegment())
	s.disk.Unlock()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	for i := range 3 {
		add(t, s, fmt.Sprint(i+2))
	}
	if n := s.Stats().HeldCalls; n != 3 {
		t.Errorf("%d calls are held", n)
	}
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, ""))
	must(t, s.Recover())
	if payloads, missing := told(t, s); strings.Join(payloads, "") != "1234" || len(missing) > 0 {
		t.Errorf("read %q, missing %q", payloads, missing)
	}
}
