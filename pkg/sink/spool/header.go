package spool

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"strings"
)

// A segment begins with two equal blocks, so that no single damaged byte makes
// its frames unreadable. What every format shares is the magic: letters and the
// format's number.
const (
	segmentLetters = "SJSEG"
	segmentMagic   = segmentLetters + "001"
	headerBlock    = 8 + 16 + 8 + 8 + 4 // magic, agent, run, salt, checksum
	segmentHeader  = 2 * headerBlock
	// format is the number that all files carry.
	format = 1
)

// header is what a segment says of itself.
type header struct {
	agent, run string
	runNumber  uint64
	salt       uint32 // what its frames' checksums begin with
}

func newSegmentHeader(agent string, run, salt uint64) (b []byte, h header) {
	id, _ := hex.DecodeString(strings.ReplaceAll(agent, "-", "")) // our own
	b = append(make([]byte, 0, segmentHeader), segmentMagic...)
	b = append(b, make([]byte, 16)...)
	copy(b[8:24], id)
	b = binary.LittleEndian.AppendUint64(b, run)
	b = binary.LittleEndian.AppendUint64(b, salt)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	b = append(b, b...)
	h, _ = parseBlock(b)
	return b, h
}

// parseSegmentHeader reads the block that is whole.
func parseSegmentHeader(b []byte) (h header, ok bool) {
	if h, ok = parseBlock(b); ok {
		return h, true
	}
	return parseBlock(b[min(headerBlock, len(b)):])
}

func parseBlock(b []byte) (h header, ok bool) {
	if len(b) < headerBlock || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:headerBlock-4], castagnoli()) != binary.LittleEndian.Uint32(b[headerBlock-4:]) {
		return header{}, false
	}
	run := binary.LittleEndian.Uint64(b[24:])
	return header{
		agent: uuidText(b[8:24]), run: runText(run), runNumber: run,
		salt: crc32.Checksum(b[24:40], castagnoli()),
	}, true
}

// newerSegment tells whether a segment is of a format that is not known yet.
func newerSegment(b []byte) bool {
	if len(b) < len(segmentMagic) || string(b[:len(segmentLetters)]) != segmentLetters {
		return false
	}
	n, err := strconv.ParseUint(string(b[len(segmentLetters):len(segmentMagic)]), 10, 16)
	return err == nil && n > format
}

func uuidText(b []byte) string {
	t := hex.EncodeToString(b)
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}
