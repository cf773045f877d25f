package state

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// filled returns a disk with a closed store of some size, its changelog, and what
// it holds.
func filled(t *testing.T) (disk vfs.FS, log changelog, want model) {
	t.Helper()
	disk, want = vfs.NewMem(), model{}
	s := openedOn(t, disk)
	for n := range 30 {
		for i := range 60 {
			host, key := enrich.Host(fmt.Sprint("host-", i%7)), fmt.Sprint("key-", (i*n)%211)
			value := fmt.Sprintf("value %d of %d, %s", i, n, bytes.Repeat([]byte{byte('a' + i%26)}, i))
			if err := s.State("op").Put(host, []byte(key), []byte(value)); err != nil {
				t.Fatal(err)
			}
			want.put("op", host, key, value)
		}
		log.commit(t, s)
		if n%10 == 9 { // several files, as a longer life makes them
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, log, want
}

// A local store that is cut or damaged anywhere is never believed: either it
// reads right, or the read fails and what is opened next restores.
func TestADamagedStoreIsNeverBelieved(t *testing.T) {
	disk, log, want := filled(t)
	names, err := disk.List("state/db")
	if err != nil {
		t.Fatal(err)
	}
	discards := 0
	damaged := func(t *testing.T, name string, damage func([]byte) []byte) {
		t.Helper()
		mine := vfs.NewMem()
		if _, err := vfs.Clone(disk, mine, "state", "state"); err != nil {
			t.Fatal(err)
		}
		change(t, mine, name, damage)
		for range 3 { // at worst: fails, is discarded, is restored
			s, why, err := open(Config{Of: of}, formats{Format, Format}, &files{dir: "state", fs: mine, now: time.Now})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if why != "" {
				discards++
			}
			log.restore(t, s)
			failed := readAll(t, s, want)
			if failed && !s.Broken() {
				t.Fatalf("%s: a read failed and the store is still believed", name)
			}
			if err := s.Close(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !failed {
				return
			}
			discards++
		}
		t.Fatalf("%s: still not readable", name)
	}
	for _, name := range names {
		name = disk.PathJoin("state/db", name)
		size := len(bytesOf(t, disk, name))
		damaged(t, name, nil)
		for i := range 8 {
			at := size * (2*i + 1) / 16
			damaged(t, name, func(b []byte) []byte { return b[:at] })
			if size > 0 {
				damaged(t, name, func(b []byte) []byte { b[at] ^= 0x55; return b })
			}
		}
	}
	if discards == 0 {
		t.Error("nothing was discarded: the test shows nothing")
	}
}

func bytesOf(t *testing.T, disk vfs.FS, name string) []byte {
	t.Helper()
	file, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	whole, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// change damages a file, or removes it.
func change(t *testing.T, disk vfs.FS, name string, damage func([]byte) []byte) {
	t.Helper()
	whole := bytesOf(t, disk, name)
	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	if damage == nil {
		return
	}
	file, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(damage(whole)); err != nil {
		t.Fatal(err)
	}
}

// readAll tells whether a read failed; what is read without one must be right.
func readAll(t *testing.T, s *Store, want model) (failed bool) {
	t.Helper()
	for host, keys := range want["op"] {
		for key, value := range keys {
			got, err := s.State("op").Get(host, []byte(key))
			if err != nil {
				return true
			}
			if string(got) != value {
				t.Fatalf("%s %s is %q, want %q", host, key, got, value)
			}
		}
		n := 0
		if err := s.State("op").Scan(host, nil, func(_, _ []byte) error { n++; return nil }); err != nil {
			return true
		}
		if n != len(keys) {
			t.Fatalf("%s has %d keys, want %d", host, n, len(keys))
		}
	}
	return false
}
