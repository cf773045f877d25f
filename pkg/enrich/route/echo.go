package route

import (
	"hash/maphash"
	"sync/atomic"
)

// echoes knows what this process stated and will read back from the facts' topic, where
// it need not be read again: a hash of each fact's text, until it came or another took
// its place. Another text of the same hash (one in 2^64) would be taken for it. It is
// safe for concurrent use.
type echoes struct {
	seed  maphash.Seed
	slots []atomic.Uint64
}

// echoSlots is several times what is stated in the second or two before it comes back.
const echoSlots = 1 << 15

func newEchoes() *echoes { return &echoes{maphash.MakeSeed(), make([]atomic.Uint64, echoSlots)} }

func (e *echoes) slot(text []byte) (*atomic.Uint64, uint64) {
	hash := maphash.Bytes(e.seed, text) | 1 // 0 is nothing
	return &e.slots[hash>>1%echoSlots], hash
}

// note expects text to come back.
func (e *echoes) note(text []byte) {
	slot, hash := e.slot(text)
	slot.Store(hash)
}

// came tells whether text was expected, and expects it no more.
func (e *echoes) came(text []byte) bool {
	slot, hash := e.slot(text)
	return slot.CompareAndSwap(hash, 0)
}
