package state

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// fillable is a disk that takes nothing new once full is set.
func fillable(disk vfs.FS, full *atomic.Bool) vfs.FS {
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite) {
			return syscall.ENOSPC
		}
		return nil
	}))
}

// soon fails a test that stands still.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not come to an end", what)
	}
}

// What is in memory at the end cannot be kept on a full disk: that is told, and the folder
// is gone, so that what comes next restores.
func TestAStoreEndsOnAFullDisk(t *testing.T) {
	disk, log, _ := filled(t)
	var full atomic.Bool
	s, _, err := open(Config{Of: of}, formats{Format, Format}, &files{dir: "state", fs: fillable(disk, &full), now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.State("op").Put("h", []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	log.commit(t, s)
	full.Store(true)
	soon(t, "Close", func() {
		if err := s.Close(); err == nil {
			t.Error("what was not kept was not told")
		}
	})
	if _, err := disk.Stat("state/db"); err == nil {
		t.Error("a copy that lacks something is still there")
	}
	full.Store(false)
	again := openedOn(t, disk)
	if again.Position() != 0 {
		t.Errorf("it goes on at %d", again.Position())
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// A disk that gets full while a store is at work makes it one that is not believed; no
// write waits for the disk.
func TestAStoreDoesNotWaitForAFullDisk(t *testing.T) {
	var full atomic.Bool
	s, _, err := open(Config{Of: of}, formats{Format, Format}, &files{dir: "state", fs: fillable(vfs.NewMem(), &full), now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	soon(t, "a write", func() {
		value := bytes.Repeat([]byte("x"), 64<<10)
		for n := int64(1); ; n++ { // more than Pebble holds in memory
			if n > 1000 {
				t.Error("a full disk was not noticed")
				return
			}
			if err := s.State("op").Put(enrich.Host(fmt.Sprint("host-", n)), []byte("k"), value); err != nil {
				t.Error(err)
				return
			}
			s.Changes()
			if err := s.Committed(n); err != nil {
				return
			}
		}
	})
	if !s.Broken() {
		t.Error("it is still believed")
	}
	soon(t, "Close", func() { _ = s.Close() })
}
