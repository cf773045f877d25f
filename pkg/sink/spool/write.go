package spool

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"
)

// writer is the segment being written. Only the goroutine that leads a group
// uses it.
type writer struct {
	number uint64 // of the newest segment there ever was
	file   file   // nil when the next group begins a segment
	seg    *segment
	// sinceCheck is what was written since free space was last asked for.
	sinceCheck int64
	buffer     []byte
}

// group is the calls that are made durable by one sync.
type group struct {
	calls []pending
	done  chan struct{}
	err   error
}

type pending struct {
	call Call
	seq  uint64
	time time.Time
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// ErrFull is wrapped by Append's error when the limits left no room for a call.
// Its seq is taken all the same: the call is dropped under a name.
var ErrFull = errors.New("the spool is full")

// Append spools a call and returns its seq once it is durable: synced to disk
// together with whatever other goroutines append at the same time. The payload
// is read until Append returns and not kept.
//
// An error means that the call is not spooled. It wraps ErrFull or ErrClosed, or
// says what the disk said; a call the disk refused was tried again in a new file
// first. ctx is not looked at: a call is not left half accepted.
func (s *Spool) Append(_ context.Context, c Call) (seq uint64, err error) {
	if len(c.Stream) > math.MaxUint8 || len(c.Payload) > math.MaxInt32 {
		return 0, fmt.Errorf("spool: a stream name of %d bytes or a payload of %d is too long", len(c.Stream), len(c.Payload))
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	seq = s.nextSeq
	s.nextSeq++
	g := s.group
	g.calls = append(g.calls, pending{c, seq, s.cfg.Now()})
	if s.writing {
		s.mu.Unlock()
		<-g.done
		return seq, g.err
	}
	s.writing = true
	s.lead()
	return seq, g.err
}

// lead writes groups until no call waits. It is entered with the lock held.
func (s *Spool) lead() {
	for len(s.group.calls) > 0 {
		g := s.group
		s.group = newGroup()
		s.mu.Unlock()
		g.err = s.write(g)
		close(g.done)
		s.mu.Lock()
	}
	s.writing = false
	s.mu.Unlock()
}

// write makes a group durable and tells the reader.
func (s *Spool) write(g *group) error {
	size := int64(0)
	for i := range g.calls {
		size += frameSize(&g.calls[i].call)
	}
	err := s.makeRoom(size)
	if err == nil {
		err = s.writeGroup(g, size)
	}
	if errors.Is(err, errNoSpace) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.drops.note(Drop{Reason: reasonOf(err), From: g.calls[0].seq, To: g.calls[len(g.calls)-1].seq, Bytes: size})
		return fmt.Errorf("spool: %w", err)
	}
	s.wake()
	return nil
}

// wake tells a waiting reader that there is more.
func (s *Spool) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

// writeGroup writes and syncs the group, and when that fails once more in a new
// segment: a file whose sync failed may have lost what it was told, and a second
// sync would say that all is well.
func (s *Spool) writeGroup(g *group, size int64) error {
	err := s.tryGroup(g, size)
	if err == nil || errors.Is(err, errNoSpace) {
		return err
	}
	s.cfg.Log.Error("spool file given up, the calls go to a new one", "error", err)
	return s.tryGroup(g, size)
}

func (s *Spool) tryGroup(g *group, size int64) error {
	if err := s.segmentFor(size); err != nil {
		return err
	}
	w := &s.writer
	end, err := w.put(g, w.seg.end, s.run)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("segment %s: %w", segmentName(w.number), noSpace(err)), s.giveUp())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.seg.first == 0 {
		w.seg.first = g.calls[0].seq
	}
	w.seg.end = end
	w.sinceCheck += size
	return nil
}

// giveUp leaves the segment as it was before the group. What is cut off was
// promised to nobody; should cutting fail, readers pass over it by its seq.
func (s *Spool) giveUp() error {
	w := &s.writer
	_ = w.file.Truncate(w.seg.end)
	err := w.file.Close()
	w.file = nil
	return err
}

// maxGather is how much of a group is copied together, so that small calls cost
// one write; a larger payload is written from where it lies.
const maxGather = 256 << 10

// put writes the group's frames at offset and returns where they end.
func (w *writer) put(g *group, offset int64, run uint64) (end int64, err error) {
	w.buffer = w.buffer[:0]
	flush := func(b []byte) {
		if err == nil && len(b) > 0 {
			_, err = w.file.WriteAt(b, offset)
			offset += int64(len(b))
		}
	}
	for i := range g.calls {
		p := &g.calls[i]
		w.buffer = appendFrameHeader(w.buffer, w.seg.salt, &p.call, run, p.seq, p.time)
		if len(w.buffer)+len(p.call.Payload) <= maxGather {
			w.buffer = append(w.buffer, p.call.Payload...)
			continue
		}
		flush(w.buffer)
		flush(p.call.Payload)
		w.buffer = w.buffer[:0]
	}
	flush(w.buffer)
	return offset, err //nolint:wrapcheck // the caller names the segment
}

// segmentFor makes sure that a segment is open, and a new one when the frames
// would make it too long.
func (s *Spool) segmentFor(size int64) error {
	w := &s.writer
	if w.file != nil && (w.seg.end+size <= s.cfg.SegmentBytes || w.seg.first == 0) {
		return nil
	}
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			s.cfg.Log.Warn("closing a full segment", "error", err)
		}
		w.file = nil
	}
	return s.newSegment()
}

// newSegment makes the next segment; its name is durable before a frame is
// promised to be in it.
func (s *Spool) newSegment() error {
	w := &s.writer
	n := w.number + 1
	name := segmentName(n)
	f, err := s.files.open(name, true)
	if err != nil {
		return fmt.Errorf("new segment: %w", noSpace(err))
	}
	w.number = n
	header, salt := newSegmentHeader(s.identity.Agent)
	_, err = f.WriteAt(header, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.files.syncDir()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("new segment %s: %w", name, noSpace(err)), f.Close(), s.files.remove(name))
	}
	w.file = f
	w.seg = &segment{number: n, agent: s.identity.Agent, salt: salt, end: segmentHeader}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, w.seg)
	return nil
}

func (w *writer) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("spool: close: %w", err)
	}
	return nil
}

// newSegmentHeader draws a salt and writes a header.
func newSegmentHeader(agent string) (b []byte, salt uint32) {
	id, _ := hex.DecodeString(strings.ReplaceAll(agent, "-", "")) // our own
	b = append([]byte(segmentMagic), make([]byte, 32)...)
	copy(b[8:24], id)
	binary.BigEndian.PutUint64(b[24:], randomUint64())
	binary.BigEndian.PutUint64(b[32:], randomUint64())
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return b, crc32.Checksum(b[24:40], castagnoli())
}

func parseSegmentHeader(b []byte) (agent string, salt uint32, ok bool) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:segmentHeader-4], castagnoli()) != binary.LittleEndian.Uint32(b[segmentHeader-4:]) {
		return "", 0, false
	}
	t := hex.EncodeToString(b[8:24])
	agent = t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
	return agent, crc32.Checksum(b[24:40], castagnoli()), true
}
