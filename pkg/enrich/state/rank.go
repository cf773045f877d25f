package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// ranks puts changes in the order of their keys. Most of what keys begin with, operator
// and host, is shared by many: it is ranked once, and a change by the number of its scope
// and the sixteen bytes behind it. So two changes are compared without a look at where
// their keys lie, which is most of what sorting them would cost.
type ranks struct {
	scopes map[string]uint32 // by their bytes
	names  []string
	last   uint32 // the scope of the change before
	all    []ranked
}

// ranked is a change: its scope, what its own key begins with, and tail, whose lower bits
// say which change it is and whose upper ones how long its own key is.
type ranked struct {
	scope, tail uint32
	high, low   uint64
}

const (
	ownBytes  = 16 // of a key that are in a ranked
	longer    = ownBytes + 1
	placeBits = 27
)

func (r ranked) place() int     { return int(r.tail & (1<<placeBits - 1)) }
func (r ranked) isLong() bool   { return r.tail>>placeBits == longer }
func (r ranked) length() uint32 { return r.tail >> placeBits }

// add takes in the change at a place: its key, of which scope bytes are operator and host.
func (r *ranks) add(key []byte, scope, place int) {
	own := key[scope:]
	next := ranked{scope: r.scopeOf(key[:scope]), tail: uint32(min(len(own), longer))<<placeBits | uint32(place)}
	if len(own) >= ownBytes {
		next.high, next.low = binary.BigEndian.Uint64(own), binary.BigEndian.Uint64(own[8:])
	} else {
		var padded [ownBytes]byte
		copy(padded[:], own)
		next.high, next.low = binary.BigEndian.Uint64(padded[:]), binary.BigEndian.Uint64(padded[8:])
	}
	r.all = append(r.all, next)
}

func (r *ranks) scopeOf(name []byte) uint32 {
	if int(r.last) < len(r.names) && r.names[r.last] == string(name) {
		return r.last
	}
	id, ok := r.scopes[string(name)]
	if !ok {
		if r.scopes == nil {
			r.scopes = map[string]uint32{}
		}
		id = uint32(len(r.names))
		r.names = append(r.names, string(name))
		r.scopes[r.names[id]] = id
	}
	r.last = id
	return id
}

// sort puts what was added in the order of the keys, and of places where keys are equal.
// keyAt returns the key at a place.
func (r *ranks) sort(keyAt func(place int) []byte) []ranked {
	order := make([]uint32, len(r.names))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(r.names[a], r.names[b]) })
	rank := make([]uint32, len(order))
	for i, id := range order {
		rank[id] = uint32(i)
	}
	for i := range r.all {
		r.all[i].scope = rank[r.all[i].scope]
	}
	slices.SortFunc(r.all, func(a, b ranked) int {
		switch {
		case a.scope != b.scope:
			return cmp.Compare(a.scope, b.scope)
		case a.high != b.high:
			return cmp.Compare(a.high, b.high)
		case a.low != b.low:
			return cmp.Compare(a.low, b.low)
		case a.isLong() && b.isLong():
			if c := bytes.Compare(keyAt(a.place()), keyAt(b.place())); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.tail, b.tail)
	})
	return r.all
}

// same tells whether two neighbours are of one key.
func same(a, b ranked, keyAt func(place int) []byte) bool {
	return a.scope == b.scope && a.high == b.high && a.low == b.low && a.length() == b.length() &&
		(!a.isLong() || bytes.Equal(keyAt(a.place()), keyAt(b.place())))
}

func (r *ranks) reset() { *r = ranks{all: r.all[:0]} }
