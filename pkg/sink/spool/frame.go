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
	frameMagic  = "SJF1"
	frameHeader = 4 + 4 + 4 + 1 + 1 + 8 + 8 + 8 + 8 // magic, checksum, length, type, stream length, run, seq, time, rules
)

// Call is one call of osqueryd, verbatim.
type Call struct {
	// Stream is the logical topic the call was accepted for, at most 255 bytes.
	Stream string
	// Type is the form of the payload; the spool does not know the forms.
	Type byte
	// Rules says which redaction rules the payload passed, 0 for none. The spool
	// only keeps it.
	Rules   uint64
	Payload []byte
}

// Frame is a spooled call as it is read back.
type Frame struct {
	Call

	// Agent and Run are those under which the call was accepted.
	Agent, Run string
	Seq        uint64
	Spooled    time.Time
	// Missing is what the agent's numbering lacks between the frame handed out
	// before, or the committed position, and this one, in order of To. Reading
	// again from the same position tells the same.
	Missing []Loss
	// Row is the first row that is not delivered, after a restart in the middle
	// of a call.
	Row int

	place place
	prior name   // what was handed out before
	rest  []Left // what a position at this frame leaves, besides the frame's own segment
	// main is where reading goes on after segments that were left; nil for a
	// frame that is not in one.
	main *Position
}

// place is where a frame lies.
type place struct {
	segment    uint64
	start, end int64
	last       bool // it is its segment's last
}

// name is a call's: no two calls share one.
type name struct {
	agent, run string
	seq        uint64
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
	dst = binary.LittleEndian.AppendUint64(dst, c.Rules)
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
	rules        uint64
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
	h.rules = binary.LittleEndian.Uint64(b[38:])
	return h, h.payload <= math.MaxInt32
}

func (h *head) size() int64 { return frameHeader + int64(h.stream) + int64(h.payload) }

// decode confirms the checksum of a whole frame and returns it; its payload is
// part of b.
func decode(b []byte, from *header) (f Frame, ok bool) {
	h, ok := parseHead(b)
	if !ok || int64(len(b)) < h.size() {
		return Frame{}, false
	}
	b = b[:h.size()]
	if crc32.Update(from.salt, castagnoli(), b[8:]) != h.sum || h.run != from.runNumber {
		return Frame{}, false
	}
	stream := b[frameHeader : frameHeader+int(h.stream)]
	return Frame{
		Call:  Call{Stream: string(stream), Type: h.typ, Rules: h.rules, Payload: b[frameHeader+len(stream):]},
		Agent: from.agent, Run: from.run, Seq: h.seq, Spooled: time.Unix(0, h.spooledNanos).UTC(),
	}, true
}

// clone is the frame's call with a payload of its own.
func (f *Frame) clone() Call {
	c := f.Call
	c.Payload = bytes.Clone(c.Payload)
	return c
}
