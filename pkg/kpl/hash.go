package kpl

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what Kinesis distributes by
	"errors"
	"fmt"
	"math/big"
)

// Hash is a place in the space of 2^128 that shards divide, big end first.
type Hash [16]byte

// HashOf is the place of a partition key: its MD5, as Kinesis computes it.
func HashOf(partitionKey []byte) Hash {
	return md5.Sum(partitionKey) //nolint:gosec // what Kinesis distributes by
}

// largestHash is how many digits 2^128-1 has: more need not be looked at.
const largestHash = 39

// ParseHash reads a place as Kinesis writes it: decimal digits, below 2^128.
func ParseHash(text string) (Hash, error) {
	if len(text) == 0 || len(text) > largestHash {
		return Hash{}, fmt.Errorf("hash key of %d characters: must be a number of 1 to %d digits", len(text), largestHash)
	}
	for _, digit := range []byte(text) {
		if digit < '0' || digit > '9' {
			return Hash{}, fmt.Errorf("hash key %q: must be decimal digits", text)
		}
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 8*len(Hash{}) {
		return Hash{}, fmt.Errorf("hash key %s: must be less than 2^128", text)
	}
	var h Hash
	n.FillBytes(h[:])
	return h, nil
}

// String is the place in decimal, as Kinesis writes it.
func (h Hash) String() string { return new(big.Int).SetBytes(h[:]).String() }

// Hash is the record's place: that of its explicit hash key, else of its partition
// key. An error says that the explicit one is no place.
func (r Record) Hash() (Hash, error) {
	if r.ExplicitHashKey != nil {
		return ParseHash(string(r.ExplicitHashKey))
	}
	return HashOf(r.PartitionKey), nil
}

// HashRange is the part of the space that a shard has, both ends included.
type HashRange struct{ Start, End Hash }

// ParseHashRange reads a range as Kinesis gives it for a shard.
func ParseHashRange(start, end string) (HashRange, error) {
	first, err := ParseHash(start)
	if err != nil {
		return HashRange{}, err
	}
	last, err := ParseHash(end)
	if err != nil {
		return HashRange{}, err
	}
	if bytes.Compare(first[:], last[:]) > 0 {
		return HashRange{}, errors.New("hash range ends before it starts")
	}
	return HashRange{first, last}, nil
}

// Contains tells whether a place lies in the range. A reader of a shard passes over
// the records of an aggregate that do not: the aggregate was made for a shard map
// that a split or merge has since changed, and no record may be taken twice.
func (r HashRange) Contains(h Hash) bool {
	return bytes.Compare(r.Start[:], h[:]) <= 0 && bytes.Compare(h[:], r.End[:]) <= 0
}
