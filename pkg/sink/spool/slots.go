package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
)

// A slot pair holds one value in two files that are written in turn, so that a
// write which is cut off leaves the value before it. Each file holds a checksum,
// a generation and a JSON object; the higher generation that checks counts.
type slots struct {
	files *fileSystem
	name  string
	// length is what each file takes from the start, so that a full disk cannot
	// keep us from writing; 0 for files that are as long as their value.
	length int64
	// known are the members that this format has. What a newer format has besides
	// is kept as it is.
	known []string

	generation uint64
	format     int // of the value that was read
	extra      []byte
	// spoiled is set for a file whose sync failed: it is made anew.
	spoiled [2]bool
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
	s.keepUnknown(best)
	return true, damaged, nil
}

// keepUnknown remembers the members that only a newer format has.
func (s *slots) keepUnknown(text []byte) {
	var members map[string]json.RawMessage
	var by struct {
		Format int `json:"format"`
	}
	s.extra = nil
	if json.Unmarshal(text, &by) != nil {
		return
	}
	if s.format = by.Format; by.Format <= format || json.Unmarshal(text, &members) != nil {
		return
	}
	for name, value := range members {
		if name == "format" || slices.Contains(s.known, name) {
			continue
		}
		quoted, _ := json.Marshal(name) // a string
		s.extra = append(append(append(append(s.extra, ','), quoted...), ':'), value...)
	}
}

var errDamaged = errors.New("damaged")

func (s *slots) readOne(i uint64) (value []byte, generation uint64, err error) {
	b, err := s.files.readFile(s.path(i), maxSlot)
	if err != nil {
		return nil, 0, err
	}
	return parseSlot(b)
}

func parseSlot(b []byte) (value []byte, generation uint64, err error) {
	if len(b) < slotHeader {
		return nil, 0, errDamaged
	}
	length := int64(binary.LittleEndian.Uint32(b[4:]))
	if length > int64(len(b)-slotHeader) || crc32.Checksum(b[4:slotHeader+length], castagnoli()) != binary.LittleEndian.Uint32(b) {
		return nil, 0, errDamaged
	}
	return b[slotHeader : slotHeader+length], binary.LittleEndian.Uint64(b[8:]), nil
}

// write makes the value, a struct, durable in the slot that is not the newest.
func (s *slots) write(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	next := s.generation + 1
	if err := s.put(next, slotBytes(text, s.extra, next)); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.generation = next
	return nil
}

// writeBoth makes the value durable in both slots, so that neither holds what
// was before.
func (s *slots) writeBoth(value any) error {
	return errors.Join(s.write(value), s.write(value))
}

func slotBytes(text, extra []byte, generation uint64) []byte {
	b := make([]byte, slotHeader, slotHeader+len(text)+len(extra)+16)
	b = fmt.Appendf(b, `{"format":%d,`, format)
	b = append(b, text[1:len(text)-1]...)
	return sealSlot(append(append(b, extra...), '}'), generation)
}

// sealSlot fills in the header before a slot's JSON.
func sealSlot(b []byte, generation uint64) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-slotHeader))
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b
}

// put overwrites a slot file. One whose sync failed before is removed first: a
// second sync of it would prove nothing.
func (s *slots) put(generation uint64, b []byte) error {
	name := s.path(generation)
	if s.spoiled[generation%2] {
		if err := s.files.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if size, err := s.files.size(name); err != nil || size < s.length {
		b = append(b, bytes.Repeat([]byte{0}, max(0, int(s.length)-len(b)))...)
	}
	err := s.files.overwrite(name, b)
	s.spoiled[generation%2] = err != nil && !errors.Is(noSpace(err), ErrFull)
	return err
}

// whole tells whether both files have the length that was taken for them.
func (s *slots) whole() bool {
	for i := range uint64(2) {
		if size, err := s.files.size(s.path(i)); err != nil || size < s.length {
			return false
		}
	}
	return true
}
