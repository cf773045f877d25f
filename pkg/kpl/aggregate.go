package kpl

import (
	"crypto/md5" //nolint:gosec // the format's checksum, not a defence
	"errors"
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is what Parse's errors wrap: the checksum holds, the message does
// not. Whoever wrote it did so on purpose or by mistake; other records are sound.
var ErrMalformed = errors.New("malformed KPL aggregate")

// Aggregate is a checked aggregate. It refers to the bytes it was parsed from.
type Aggregate struct {
	message []byte
	// keys and hashes are where in message each entry of the tables begins: a
	// place takes less memory than a slice, and a hostile table is all entries.
	keys, hashes []uint32
	n            int
}

// largest is more than any Kinesis record (10 MiB), and fits a place in a table.
const largest = 1 << 30

// IsAggregate tells whether data begins with the magic bytes and ends with the
// checksum of what is between. Any other data is a record by itself, as for
// Amazon's own readers: the magic bytes alone may be chance.
func IsAggregate(data []byte) bool {
	if len(data) <= overhead || len(data) > largest || string(data[:len(magic)]) != magic {
		return false
	}
	end := len(data) - md5.Size
	return md5.Sum(data[len(magic):end]) == [md5.Size]byte(data[end:]) //nolint:gosec // the format's checksum
}

// Parse reads an aggregate and checks all of it. When IsAggregate is false so is
// ok, and there is no error. An error wraps ErrMalformed.
func Parse(data []byte) (a Aggregate, ok bool, err error) {
	if !IsAggregate(data) {
		return Aggregate{}, false, nil
	}
	a.message = data[len(magic) : len(data)-md5.Size]
	if err := a.index(); err != nil {
		return Aggregate{}, true, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := a.check(); err != nil {
		return Aggregate{}, true, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return a, true, nil
}

// index finds the tables' entries and counts the records.
func (a *Aggregate) index() error {
	return eachField(a.message, func(number protowire.Number, typ protowire.Type, at int) error {
		if number > fieldRecords {
			return nil // of a later version
		}
		if typ != protowire.BytesType {
			return fmt.Errorf("field %d of the message has wire type %d", number, typ)
		}
		switch number {
		case fieldKeys:
			a.keys = append(a.keys, uint32(at))
		case fieldHashes:
			a.hashes = append(a.hashes, uint32(at))
		case fieldRecords:
			a.n++
		}
		return nil
	})
}

// check reads every record once, so that All need not fail.
func (a *Aggregate) check() error {
	i := 0
	return eachField(a.message, func(number protowire.Number, _ protowire.Type, at int) error {
		if number != fieldRecords {
			return nil
		}
		if _, err := a.record(a.bytesAt(at)); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		i++
		return nil
	})
}

// eachField calls see with each field of a message and where its value begins.
func eachField(message []byte, see func(number protowire.Number, typ protowire.Type, at int) error) error {
	for at := 0; at < len(message); {
		number, typ, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return fmt.Errorf("tag at byte %d: %w", at, protowire.ParseError(n))
		}
		at += n
		size := protowire.ConsumeFieldValue(number, typ, message[at:])
		if size < 0 {
			return fmt.Errorf("field %d at byte %d: %w", number, at, protowire.ParseError(size))
		}
		if err := see(number, typ, at); err != nil {
			return err
		}
		at += size
	}
	return nil
}

func (a *Aggregate) bytesAt(at int) []byte {
	value, _ := protowire.ConsumeBytes(a.message[at:])
	return value
}

// record reads a record's message.
func (a *Aggregate) record(message []byte) (Record, error) {
	var r Record
	hasKey := false
	err := eachField(message, func(number protowire.Number, typ protowire.Type, at int) (err error) {
		switch number {
		case fieldKeyIndex:
			hasKey = true
			r.PartitionKey, err = a.entry(a.keys, "partition key", typ, message[at:])
		case fieldHashIndex:
			r.ExplicitHashKey, err = a.entry(a.hashes, "explicit hash key", typ, message[at:])
		case fieldData:
			if typ != protowire.BytesType {
				return fmt.Errorf("data has wire type %d", typ)
			}
			r.Data, _ = protowire.ConsumeBytes(message[at:])
		}
		return err
	})
	switch {
	case err != nil:
		return Record{}, err
	case !hasKey:
		return Record{}, errors.New("no partition key")
	case r.Data == nil:
		return Record{}, errors.New("no data")
	}
	return r, nil
}

// entry is the text in a table that an index in value names.
func (a *Aggregate) entry(table []uint32, what string, typ protowire.Type, value []byte) ([]byte, error) {
	if typ != protowire.VarintType {
		return nil, fmt.Errorf("index of the %s has wire type %d", what, typ)
	}
	index, _ := protowire.ConsumeVarint(value)
	if index >= uint64(len(table)) {
		return nil, fmt.Errorf("%s %d of %d", what, index, len(table))
	}
	return a.bytesAt(int(table[index])), nil
}

// Len is the number of records.
func (a Aggregate) Len() int { return a.n }

// All returns the records with their sub-sequence numbers, from 0. They refer to
// the bytes given to Parse.
func (a Aggregate) All() iter.Seq2[int, Record] {
	return func(yield func(int, Record) bool) {
		i := 0
		_ = eachField(a.message, func(number protowire.Number, _ protowire.Type, at int) error {
			if number != fieldRecords {
				return nil
			}
			r, err := a.record(a.bytesAt(at))
			if err != nil || !yield(i, r) {
				return errStop // Parse has checked the record
			}
			i++
			return nil
		})
	}
}

var errStop = errors.New("no more")
