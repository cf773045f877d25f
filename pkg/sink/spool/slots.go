package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
)

// A slot pair holds one value in two files that are written in turn, so that a
// write which is cut off leaves the value before it. Each file holds a checksum,
// a generation and JSON; the higher generation that checks counts.
type slots struct {
	files      *fileSystem
	name       string
	generation uint64
}

// slotHeader is checksum, length and generation.
const slotHeader = 4 + 4 + 8

// maxSlot bounds what is read of a slot file: a longer one is damaged.
const maxSlot = 1 << 20

func (s *slots) path(generation uint64) string {
	return fmt.Sprintf("%s.%d", s.name, generation%2)
}

// read returns the newest value that checks; found is false when there is none,
// and damaged tells that a file was there all the same.
func (s *slots) read(into any) (found, damaged bool, err error) {
	var best []byte
	for i := range uint64(2) {
		value, generation, err := s.readOne(i)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errDamaged):
			damaged = true
		case err != nil:
			return false, false, err
		case best == nil || generation > s.generation:
			best, s.generation = value, generation
		}
	}
	if best == nil {
		return false, damaged, nil
	}
	if err := json.Unmarshal(best, into); err != nil {
		return false, true, nil //nolint:nilerr // it checks but is none of ours: damaged
	}
	return true, damaged, nil
}

var errDamaged = errors.New("damaged")

func (s *slots) readOne(i uint64) (value []byte, generation uint64, err error) {
	b, err := s.files.readFile(s.path(i), maxSlot)
	if err != nil {
		return nil, 0, err
	}
	if len(b) < slotHeader {
		return nil, 0, errDamaged
	}
	length := int(binary.LittleEndian.Uint32(b[4:]))
	if length > len(b)-slotHeader || crc32.Checksum(b[4:slotHeader+length], castagnoli()) != binary.LittleEndian.Uint32(b) {
		return nil, 0, errDamaged
	}
	return b[slotHeader : slotHeader+length], binary.LittleEndian.Uint64(b[8:]), nil
}

// write makes the value durable in the slot that is not the newest.
func (s *slots) write(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	next := s.generation + 1
	b := make([]byte, slotHeader, slotHeader+len(text))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(text)))
	binary.LittleEndian.PutUint64(b[8:], next)
	b = append(b, text...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	if err := s.files.overwrite(s.path(next), b); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.generation = next
	return nil
}
