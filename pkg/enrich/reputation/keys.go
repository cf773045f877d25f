package reputation

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// keys holds what is looked up by its whole text: names, URLs, hashes. A key is
// found by a 64-bit hash under a secret of this process, and confirmed against
// the text as the feed lists it. root[k] is the number of hashes whose top bits
// are below k.
type keys struct {
	root   []uint32
	shift  uint8
	hashes []uint64
	ends   []uint32 // of each text
	texts  []byte
	rows   []row
}

// rawKey is a key before it is packed; its text is texts[from:][:size].
type rawKey struct {
	hash       uint64
	from, size uint32
	row        row
}

// packKeys sorts raw keys and drops those that say the same twice. kindOf is the
// kind of what a row says.
func packKeys(raw []rawKey, texts []byte, kindOf func(row) feed.Kind) keys {
	slices.SortFunc(raw, func(a, b rawKey) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.row.detail, b.row.detail), cmp.Compare(a.row.line, b.row.line))
	})
	raw = slices.CompactFunc(raw, func(a, b rawKey) bool {
		return a.hash == b.hash && a.row.detail == b.row.detail && sameKey(kindOf(a.row), texts[a.from:][:a.size], texts[b.from:][:b.size])
	})
	k := keys{hashes: make([]uint64, len(raw)), ends: make([]uint32, len(raw)), rows: make([]row, len(raw))}
	k.texts = make([]byte, 0, sizeOf(raw))
	for i, r := range raw {
		k.texts = append(k.texts, texts[r.from:][:r.size]...)
		k.hashes[i], k.ends[i], k.rows[i] = r.hash, uint32(len(k.texts)), r.row
	}
	k.index()
	return k
}

func sizeOf(raw []rawKey) (n int) {
	for _, r := range raw {
		n += int(r.size)
	}
	return n
}

func (k *keys) index() {
	if len(k.hashes) == 0 {
		return
	}
	top := max(1, bits.Len(uint(len(k.hashes)))-2)
	k.shift = uint8(64 - top)
	k.root = make([]uint32, 1<<top+1)
	for _, h := range k.hashes {
		k.root[h>>k.shift+1]++
	}
	for i := 1; i < len(k.root); i++ {
		k.root[i] += k.root[i-1]
	}
}

// find returns the first entry under hash, and the one after the last that may be
// under it.
func (k *keys) find(hash uint64) (from, to uint32) {
	if len(k.hashes) == 0 {
		return 0, 0
	}
	b := hash >> k.shift
	from, to = k.root[b], k.root[b+1]
	for from < to && k.hashes[from] < hash {
		from++
	}
	return from, to
}

// text is entry i as the feed lists it.
func (k *keys) text(i uint32) []byte {
	from := uint32(0)
	if i > 0 {
		from = k.ends[i-1]
	}
	return k.texts[from:k.ends[i]]
}

// confirmed tells whether entry i, of kind k, really is key, hash aside.
func (k *keys) confirmed(i uint32, kind feed.Kind, key []byte) bool {
	var buf [512]byte
	own, ok := appendKey(buf[:0], kind, k.text(i))
	return ok && bytes.Equal(own, key)
}

func sameKey(kind feed.Kind, a, b []byte) bool {
	var bufA, bufB [512]byte
	keyA, okA := appendKey(bufA[:0], kind, a)
	keyB, okB := appendKey(bufB[:0], kind, b)
	return okA && okB && bytes.Equal(keyA, keyB)
}

func hashOf(seed maphash.Seed, key []byte) uint64 { return maphash.Bytes(seed, key) }
