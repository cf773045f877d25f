package spool

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sort"
	"sync"
	"syscall"
)

// disk is a folder in memory that remembers what was synced, so that the power
// can be cut: then each write that was not synced is there, partly there or not
// there, in any order, and so is each name that syncDir did not see.
type disk struct {
	mu    sync.Mutex
	files map[string]*inode // names as a running program sees them
	named map[string]*inode // names that survive a cut
	// choose picks a number below n; it decides what a cut leaves.
	choose func(n int) int
	// failSync and full are the faults: the next sync fails, no write fits.
	failSync bool
	full     bool
	free     uint64
}

type inode struct {
	now     []byte // as a running program sees it
	durable []byte
	pending []change
	// lost is set when a sync failed: what was pending may be gone for good
	// although a later sync says that all is well.
	poisoned bool
}

type change struct {
	offset   int64
	data     []byte
	truncate bool
}

func newDisk(choose func(int) int) *disk {
	return &disk{files: map[string]*inode{}, named: map[string]*inode{}, choose: choose, free: 1 << 40}
}

func (d *disk) fileSystem() *fileSystem {
	return &fileSystem{
		open:   func(name string) (file, error) { return d.open(name, false) },
		create: func(name string) (file, error) { return d.open(name, true) },
		size:   d.size, remove: d.remove, list: d.list, syncDir: d.syncDir,
		space: func() (free, total uint64, err error) { return d.free, 1 << 40, nil },
	}
}

func (d *disk) open(name string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.files[name]
	if node == nil {
		if !create {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if d.full {
			return nil, syscall.ENOSPC
		}
		node = &inode{}
		d.files[name] = node
	}
	return &handle{d, node}, nil
}

func (d *disk) size(name string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if node := d.files[name]; node != nil {
		return int64(len(node.now)), nil
	}
	return 0, fs.ErrNotExist
}

func (d *disk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return nil
}

func (d *disk) list() (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (d *disk) syncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.named = map[string]*inode{}
	for name, node := range d.files {
		d.named[name] = node
	}
	return nil
}

// cut cuts the power: what is left is what a program finds when it is back.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[string]*inode{}
	for _, names := range []map[string]*inode{d.named, d.files} {
		for _, name := range slices.Sorted(keys(names)) {
			_, kept := d.named[name]
			_, current := d.files[name]
			if kept && current || d.choose(2) == 0 {
				left[name] = names[name]
			}
		}
	}
	for _, name := range slices.Sorted(keys(left)) {
		left[name] = &inode{now: d.survivor(left[name])}
		left[name].durable = slices.Clone(left[name].now)
	}
	d.files, d.named = left, map[string]*inode{}
	for name, node := range left {
		d.named[name] = node
	}
}

func keys(m map[string]*inode) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range m {
			if !yield(name) {
				return
			}
		}
	}
}

// survivor is what a cut leaves of a file: synced bytes, and of each later
// change all, some or nothing.
func (d *disk) survivor(node *inode) []byte {
	b := slices.Clone(node.durable)
	for _, c := range node.pending {
		switch d.choose(3) {
		case 0:
			b = apply(b, c)
		case 1:
			if !c.truncate && len(c.data) > 0 {
				c.data = c.data[:d.choose(len(c.data))]
				b = apply(b, c)
			}
		}
	}
	return b
}

func apply(b []byte, c change) []byte {
	if c.truncate {
		return b[:min(int64(len(b)), c.offset)]
	}
	if need := c.offset + int64(len(c.data)); int64(len(b)) < need {
		b = append(b, make([]byte, need-int64(len(b)))...)
	}
	copy(b[c.offset:], c.data)
	return b
}

type handle struct {
	d    *disk
	node *inode
}

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if at >= int64(len(h.node.now)) {
		return 0, io.EOF
	}
	n := copy(b, h.node.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.full && at+int64(len(b)) > int64(len(h.node.now)) {
		half := len(b) / 2 // a full disk takes the part that fits
		h.change(change{offset: at, data: slices.Clone(b[:half])})
		return half, syscall.ENOSPC
	}
	h.change(change{offset: at, data: slices.Clone(b)})
	return len(b), nil
}

func (h *handle) change(c change) {
	h.node.now = apply(h.node.now, c)
	h.node.pending = append(h.node.pending, c)
}

func (h *handle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.change(change{offset: size, truncate: true})
	return nil
}

// errSync is what a failing disk says.
var errSync = errors.New("input/output error")

func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.failSync {
		h.d.failSync = false
		h.node.poisoned = true
		return errSync
	}
	if h.node.poisoned {
		return nil // and that is a lie: the kernel forgot what it could not write
	}
	h.node.durable, h.node.pending = slices.Clone(h.node.now), nil
	return nil
}

func (h *handle) Close() error { return nil }
