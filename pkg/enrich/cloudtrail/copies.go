package cloudtrail

import (
	"crypto/sha256"
	"encoding/binary"
)

// DefaultCopies is how many records Copies and Seen remember unless told otherwise.
const DefaultCopies = 1 << 22

type digest [16]byte

func digestOf(text string) digest { return short(sha256.Sum256([]byte(text))) }

func short(sum [sha256.Size]byte) (d digest) {
	copy(d[:], sum[:])
	return d
}

// Copies picks one of the copies in which one record comes, by its bytes, so that the
// choice does not depend on the order: note all of them, then take. It is for one
// goroutine.
type Copies struct {
	max  int
	best map[digest]uint64
}

// NewCopies returns an empty Copies for at most limit records, 0 for DefaultCopies.
// Records beyond the limit are not recognised as copies.
func NewCopies(limit int) *Copies {
	if limit <= 0 {
		limit = DefaultCopies
	}
	return &Copies{max: limit, best: map[digest]uint64{}}
}

// taken stands for a record whose copy has been taken.
const taken = 0

func rank(r *Record) uint64 {
	sum := sha256.Sum256(r.Raw)
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// Note remembers a copy.
func (c *Copies) Note(r *Record) {
	id, n := digestOf(r.ID()), rank(r)
	old, known := c.best[id]
	if !known && len(c.best) >= c.max {
		return
	}
	if !known || n < old {
		c.best[id] = n
	}
}

// Take tells that r is the copy to use: true once for each record that was noted, and
// always for one that was not.
func (c *Copies) Take(r *Record) bool {
	id := digestOf(r.ID())
	best, known := c.best[id]
	if !known {
		return true
	}
	if best == taken || best != rank(r) {
		return false
	}
	c.best[id] = taken
	return true
}

// Seen recognises the copies of records in a stream: the last of them that fit. It is
// for one goroutine.
type Seen struct {
	ring []digest
	next int
	set  map[digest]struct{}
}

// NewSeen returns a Seen for the last limit records, 0 for DefaultCopies.
func NewSeen(limit int) *Seen {
	if limit <= 0 {
		limit = DefaultCopies
	}
	return &Seen{ring: make([]digest, 0, limit), set: map[digest]struct{}{}}
}

// Before tells that a record of that ID came before, and remembers it from then on.
func (s *Seen) Before(id string) bool {
	d := digestOf(id)
	if _, ok := s.set[d]; ok {
		return true
	}
	s.set[d] = struct{}{}
	if len(s.ring) < cap(s.ring) {
		s.ring = append(s.ring, d)
		return false
	}
	delete(s.set, s.ring[s.next])
	s.ring[s.next] = d
	s.next = (s.next + 1) % len(s.ring)
	return false
}
