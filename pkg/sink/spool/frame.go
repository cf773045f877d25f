package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// Sizes and marks of FORMAT.md.
const (
	segmentMagic  = "SJSEG001"
	segmentHeader = 8 + 16 + 16 + 4 // magic, agent, salt, checksum
	frameMagic    = "SJF1"
	frameHeader   = 4 + 4 + 4 + 1 + 1 + 8 + 8 + 8 // magic, checksum, length, type, stream length, run, seq, time
)

// Call is one call of osqueryd, verbatim.
type Call struct {
	// Stream is the logical topic the call was accepted for, at most 255 bytes.
	Stream string
	// Type is the form of the payload; the spool does not know the forms.
	Type    byte
	Payload []byte
}

// Frame is a spooled call as it is read back.
type Frame struct {
	Call

	// Agent and Run are those under which the call was accepted.
	Agent, Run string
	Seq        uint64
	Spooled    time.Time

	place place
}

// place is where a frame lies.
type place struct {
	segment    uint64
	start, end int64
}

func frameSize(c *Call) int64 { return int64(frameHeader + len(c.Stream) + len(c.Payload)) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // one table, made once by the library

// appendFrameHeader appends all of a frame but its payload. The checksum begins
// with the segment's random salt, so that nobody can write bytes into a payload
// that would be taken for a frame after damage.
func appendFrameHeader(dst []byte, salt uint32, c *Call, run uint64, seq uint64, spooled time.Time) []byte {
	dst = append(dst, frameMagic...)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.Payload)))
	dst = append(dst, c.Type, byte(len(c.Stream)))
	dst = binary.LittleEndian.AppendUint64(dst, run)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(spooled.UnixNano()))
	dst = append(dst, c.Stream...)
	sum := crc32.Update(salt, castagnoli(), dst[at+4:])
	sum = crc32.Update(sum, castagnoli(), c.Payload)
	binary.LittleEndian.PutUint32(dst[at:], sum)
	return dst
}

// head is a frame's header as read; its checksum is not yet confirmed.
type head struct {
	sum          uint32
	payload      uint32
	typ, stream  byte
	run, seq     uint64
	spooledNanos int64
}

// parseHead reads a frame header; ok is false for bytes that begin no frame.
func parseHead(b []byte) (h head, ok bool) {
	if len(b) < frameHeader || !bytes.HasPrefix(b, []byte(frameMagic)) {
		return head{}, false
	}
	h.sum = binary.LittleEndian.Uint32(b[4:])
	h.payload = binary.LittleEndian.Uint32(b[8:])
	h.typ, h.stream = b[12], b[13]
	h.run = binary.LittleEndian.Uint64(b[14:])
	h.seq = binary.LittleEndian.Uint64(b[22:])
	h.spooledNanos = int64(binary.LittleEndian.Uint64(b[30:]))
	return h, h.payload <= math.MaxInt32
}

func (h *head) size() int64 { return frameHeader + int64(h.stream) + int64(h.payload) }

// decode confirms the checksum of a whole frame and returns it; its payload is
// part of b.
func decode(b []byte, salt uint32) (f Frame, ok bool) {
	h, ok := parseHead(b)
	if !ok || int64(len(b)) < h.size() {
		return Frame{}, false
	}
	b = b[:h.size()]
	if crc32.Update(salt, castagnoli(), b[8:]) != h.sum {
		return Frame{}, false
	}
	stream := b[frameHeader : frameHeader+int(h.stream)]
	return Frame{
		Call: Call{Stream: string(stream), Type: h.typ, Payload: b[frameHeader+len(stream):]},
		Run:  runText(h.run), Seq: h.seq, Spooled: time.Unix(0, h.spooledNanos).UTC(),
	}, true
}
