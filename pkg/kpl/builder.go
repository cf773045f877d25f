package kpl

import (
	"crypto/md5" //nolint:gosec // the format's checksum, not a defence
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the message's fields.
const (
	fieldKeys    protowire.Number = 1 // of the aggregate: partition_key_table
	fieldHashes  protowire.Number = 2 // explicit_hash_key_table
	fieldRecords protowire.Number = 3 // records

	fieldKeyIndex  protowire.Number = 1 // of a record: partition_key_index
	fieldHashIndex protowire.Number = 2 // explicit_hash_key_index
	fieldData      protowire.Number = 3 // data
)

const (
	magic = "\xf3\x89\x9a\xc2"
	// overhead is what an aggregate has besides its message.
	overhead = len(magic) + md5.Size
)

// Record is one record inside an aggregate.
type Record struct {
	// PartitionKey is valid UTF-8 of at least one byte.
	PartitionKey []byte
	// ExplicitHashKey is a decimal number below 2^128 that stands for the hash of
	// PartitionKey, or nil.
	ExplicitHashKey []byte
	Data            []byte
}

// Builder gathers records into one aggregate. The zero value is ready; Reset makes
// it ready again. It keeps copies of what it is given.
type Builder struct {
	keys, hashes table
	records      []byte
	n            int
}

// table is one of the message's tables as it is written: the place of each text,
// and the encoded entries.
type table struct {
	places  map[string]uint64
	encoded []byte
}

// Len is the number of records.
func (b *Builder) Len() int { return b.n }

// Size is the length of what Append writes.
func (b *Builder) Size() int {
	return overhead + len(b.keys.encoded) + len(b.hashes.encoded) + len(b.records)
}

// SizeWith is the Size that there would be after Add(r).
func (b *Builder) SizeWith(r Record) int {
	key, keyGrowth := b.keys.find(fieldKeys, r.PartitionKey)
	body := recordSize(key, r)
	growth := keyGrowth
	if r.ExplicitHashKey != nil {
		hash, hashGrowth := b.hashes.find(fieldHashes, r.ExplicitHashKey)
		body += protowire.SizeTag(fieldHashIndex) + protowire.SizeVarint(hash)
		growth += hashGrowth
	}
	return b.Size() + growth + protowire.SizeTag(fieldRecords) + protowire.SizeBytes(body)
}

// recordSize is the length of a record without its explicit hash key.
func recordSize(key uint64, r Record) int {
	return protowire.SizeTag(fieldKeyIndex) + protowire.SizeVarint(key) +
		protowire.SizeTag(fieldData) + protowire.SizeBytes(len(r.Data))
}

// Add appends a record.
func (b *Builder) Add(r Record) {
	key := b.keys.add(fieldKeys, r.PartitionKey)
	size, hash := recordSize(key, r), uint64(0)
	if r.ExplicitHashKey != nil {
		hash = b.hashes.add(fieldHashes, r.ExplicitHashKey)
		size += protowire.SizeTag(fieldHashIndex) + protowire.SizeVarint(hash)
	}
	out := protowire.AppendTag(b.records, fieldRecords, protowire.BytesType)
	out = binary.AppendUvarint(out, uint64(size))
	out = protowire.AppendTag(out, fieldKeyIndex, protowire.VarintType)
	out = protowire.AppendVarint(out, key)
	if r.ExplicitHashKey != nil {
		out = protowire.AppendTag(out, fieldHashIndex, protowire.VarintType)
		out = protowire.AppendVarint(out, hash)
	}
	out = protowire.AppendTag(out, fieldData, protowire.BytesType)
	b.records = protowire.AppendBytes(out, r.Data)
	b.n++
}

// find is the place that text has or would get, and by how much the table grows.
func (t *table) find(field protowire.Number, text []byte) (place uint64, growth int) {
	if place, known := t.places[string(text)]; known {
		return place, 0
	}
	return uint64(len(t.places)), protowire.SizeTag(field) + protowire.SizeBytes(len(text))
}

func (t *table) add(field protowire.Number, text []byte) uint64 {
	place, growth := t.find(field, text)
	if growth == 0 {
		return place
	}
	if t.places == nil {
		t.places = map[string]uint64{}
	}
	t.places[string(text)] = place
	t.encoded = protowire.AppendTag(t.encoded, field, protowire.BytesType)
	t.encoded = protowire.AppendBytes(t.encoded, text)
	return place
}

// Append appends the aggregate of all records to dst.
func (b *Builder) Append(dst []byte) []byte {
	dst = append(dst, magic...)
	start := len(dst)
	dst = append(append(append(dst, b.keys.encoded...), b.hashes.encoded...), b.records...)
	sum := md5.Sum(dst[start:]) //nolint:gosec // the format's checksum
	return append(dst, sum[:]...)
}

// Reset removes all records.
func (b *Builder) Reset() {
	clear(b.keys.places)
	clear(b.hashes.places)
	b.keys.encoded, b.hashes.encoded = b.keys.encoded[:0], b.hashes.encoded[:0]
	b.records, b.n = b.records[:0], 0
}
