package spool

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"sync"
	"syscall"
)

// disk is a folder in memory that remembers what was synced, so that the power
// can be cut: then of what was not synced each 512-byte sector, each change of a
// length and each name is there or is not, in any order.
type disk struct {
	mu    sync.Mutex
	files map[string]*inode // names as a running program sees them
	named map[string]*inode // names that survive a cut
	// choose picks a number below n; it decides what a cut leaves.
	choose func(n int) int

	// The faults. failSyncs counts syncs that will fail, failing makes all of them
	// fail, capacity bounds all files, broken is what every change says, full
	// refuses files to grow.
	failSyncs int
	failing   bool
	capacity  int
	broken    error
	full      bool
	free      uint64
	total     uint64
	read      int64 // bytes that were read
}

type inode struct {
	now     []byte // as a running program sees it
	durable []byte
	pending []change
	// poisoned is set when a sync failed: what was pending may be gone for good
	// although a later sync says that all is well.
	poisoned bool
}

type change struct {
	offset   int64
	data     []byte
	truncate bool
}

func newDisk(choose func(int) int) *disk {
	return &disk{files: map[string]*inode{}, named: map[string]*inode{}, choose: choose, free: 1 << 40, total: 1 << 40}
}

func (d *disk) fileSystem() *fileSystem {
	return &fileSystem{
		open:   func(name string) (file, error) { return d.open(name, false) },
		create: func(name string) (file, error) { return d.open(name, true) },
		size:   d.size, remove: d.remove, list: d.list, syncDir: d.syncDir,
		space: func() (free, total uint64, err error) { return d.free, d.total, nil },
	}
}

func (d *disk) open(name string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.files[name]
	if create && d.broken != nil {
		return nil, d.broken
	}
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
	if d.broken != nil {
		return d.broken
	}
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
	if d.broken != nil {
		return d.broken
	}
	d.named = maps.Clone(d.files)
	return nil
}

// copied is the folder as a program sees it now, on another disk.
func (d *disk) copied() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	other := newDisk(d.choose)
	for name, node := range d.files {
		other.files[name] = &inode{now: slices.Clone(node.now), durable: slices.Clone(node.now)}
		other.named[name] = other.files[name]
	}
	return other
}

// cut cuts the power: what is left is what a program finds when it is back.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[string]*inode{}
	for _, names := range []map[string]*inode{d.named, d.files} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			kept, current := d.named[name], d.files[name]
			if kept == current && kept != nil || d.choose(2) == 0 {
				left[name] = names[name]
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		b := d.survivor(left[name])
		left[name] = &inode{now: b, durable: slices.Clone(b)}
	}
	d.files, d.named = left, maps.Clone(left)
}

const sector = 512

// survivor is what a cut leaves of a file: synced bytes, and of each later change
// any sectors.
func (d *disk) survivor(node *inode) []byte {
	b := slices.Clone(node.durable)
	how := d.choose(3) // all, nothing, or sector by sector
	for _, c := range node.pending {
		for at := int64(0); at == 0 || at < int64(len(c.data)); {
			n := min(int64(len(c.data))-at, sector-(c.offset+at)%sector)
			piece := change{offset: c.offset + at, data: c.data[at : at+n], truncate: c.truncate}
			if how == 0 || how == 2 && d.choose(2) == 0 {
				b = apply(b, piece)
			}
			at += max(n, 1)
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
	h.d.read += int64(n)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// room is how far a file may grow.
func (h *handle) room() int {
	if h.d.full {
		return 0
	}
	if h.d.capacity == 0 {
		return 1 << 40
	}
	used := 0
	for _, node := range h.d.files {
		used += len(node.now)
	}
	return max(0, h.d.capacity-used)
}

func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.broken != nil {
		return 0, h.d.broken
	}
	if over := int(at) + len(b) - len(h.node.now) - h.room(); over > 0 {
		fits := max(0, len(b)-over) // a full disk takes the part that fits
		h.change(change{offset: at, data: slices.Clone(b[:fits])})
		return fits, syscall.ENOSPC
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
	if h.d.broken != nil {
		return h.d.broken
	}
	h.change(change{offset: size, truncate: true})
	return nil
}

// errSync is what a failing disk says.
var errSync = errors.New("input/output error")

func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.broken != nil || h.d.failing || h.d.failSyncs > 0 {
		h.d.failSyncs = max(0, h.d.failSyncs-1)
		h.node.poisoned = true
		return errSync
	}
	if h.node.poisoned {
		return nil // and that is a lie: the kernel forgot what it could not write
	}
	for _, c := range h.node.pending {
		h.node.durable = apply(h.node.durable, c)
	}
	h.node.pending = nil
	return nil
}

func (h *handle) Close() error { return nil }
