package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Defaults of Config.
const (
	DefaultMaxBytes     = 1 << 30
	DefaultSegmentBytes = 16 << 20
	minFreeFloor        = 1 << 30
)

// Config says where a spool is and how large it may get.
type Config struct {
	// Dir is the spool's folder. Its lock must be held (TryLock).
	Dir string
	// HostIDs are what the host is known by without a network: machine id,
	// cloud instance id. When they differ from those the spool was made with, it
	// was copied to another host, and gets a new agent.
	HostIDs []string
	// MaxBytes bounds the segments together; 0 means DefaultMaxBytes. Above it
	// the oldest segment that is not being read is dropped.
	MaxBytes int64
	// MinFree is what must stay free on the disk; 0 means 1 GiB, negative means
	// nothing.
	MinFree int64
	// SegmentBytes is the size from which a new segment is begun; 0 means
	// DefaultSegmentBytes.
	SegmentBytes int64
	Log          *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	c.SegmentBytes = min(c.SegmentBytes, max(c.MaxBytes/8, 4<<10))
	if c.MinFree == 0 {
		c.MinFree = minFreeFloor
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Spool is an open spool. Append may be called from many goroutines; Next, Ready
// and Commit from one. It starts no goroutine.
type Spool struct {
	cfg      Config
	files    *fileSystem
	identity identity
	run      uint64

	positions slots
	writer    writer
	reader    reader

	mu       sync.Mutex
	segments []*segment // ascending; the last is written while writer.open
	nextSeq  uint64
	group    *group
	// committed is where reading begins after a restart.
	committed Position
	writing   bool
	closed    bool
	drops     Drops
	// more is closed, and replaced, when frames became durable.
	more chan struct{}
}

// segment is one file of frames.
type segment struct {
	number uint64
	agent  string
	salt   uint32
	// end is where durable frames end: the file's size, but for the segment
	// being written and those given up after a failed sync.
	end int64
	// first is the seq of its first frame, 0 when unknown.
	first uint64
}

// Open opens the spool in cfg.Dir, whose lock the caller holds, or makes one. It
// draws a new run and makes it durable.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	return open(ctx, cfg, onDisk(cfg.Dir))
}

func open(ctx context.Context, cfg Config, files *fileSystem) (*Spool, error) {
	s := &Spool{cfg: cfg.withDefaults(), files: files, more: make(chan struct{}), group: newGroup()}
	s.positions = slots{files: files, name: "position"}
	if err := s.identify(); err != nil {
		return nil, fmt.Errorf("spool %s: identity: %w", cfg.Dir, err)
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("spool %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// load finds the segments, the read position and the next seq.
func (s *Spool) load(ctx context.Context) error {
	found, damaged, err := s.positions.read(&s.committed)
	if err != nil {
		return fmt.Errorf("read position: %w", err)
	}
	if !found && damaged {
		s.cfg.Log.Error("the spool's read position is damaged, all that is spooled is sent again", "dir", s.cfg.Dir)
	}
	numbers, err := s.files.segments()
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	for _, n := range numbers {
		if n < s.committed.Segment {
			if err := s.files.remove(segmentName(n)); err != nil {
				return fmt.Errorf("remove a segment that was read: %w", err)
			}
			continue
		}
		if err := s.addSegment(n); err != nil {
			return err
		}
	}
	s.writer.number = s.committed.Segment
	if len(s.segments) > 0 {
		s.writer.number = s.segments[len(s.segments)-1].number
	}
	s.reader.begin(s.committed, s.segments)
	return s.findNextSeq(ctx)
}

// addSegment takes a segment of an earlier run in. One whose header is damaged
// cannot be read, for nothing tells whose frames it holds; it is set aside.
func (s *Spool) addSegment(n uint64) error {
	name := segmentName(n)
	size, err := s.files.size(name)
	if err != nil {
		return fmt.Errorf("segment %s: %w", name, err)
	}
	b, err := s.files.readFile(name, segmentHeader)
	if err != nil {
		return fmt.Errorf("segment %s: %w", name, err)
	}
	agent, salt, ok := parseSegmentHeader(b)
	if !ok {
		// Also what a power cut leaves of a segment that no frame was promised in.
		s.drops.note(Drop{Reason: Damaged, Segment: n, Bytes: size})
		s.cfg.Log.Error("a segment's header is damaged, it cannot be read", "file", name, "bytes", size)
		return nil
	}
	s.segments = append(s.segments, &segment{number: n, agent: agent, salt: salt, end: size})
	return nil
}

// findNextSeq reads the newest segments until one tells the last seq.
func (s *Spool) findNextSeq(ctx context.Context) error {
	last := uint64(0)
	if s.committed.Agent == s.identity.Agent {
		last = s.committed.Seq
	}
	for _, seg := range slices.Backward(s.segments) {
		if seg.agent != s.identity.Agent {
			break
		}
		seq, err := s.lastSeq(ctx, seg)
		if err != nil {
			return err
		}
		if seq > 0 {
			last = max(last, seq)
			break
		}
	}
	s.nextSeq = last + 1
	return nil
}

// lastSeq is the seq of a segment's last frame, 0 when it has none.
func (s *Spool) lastSeq(ctx context.Context, seg *segment) (last uint64, err error) {
	f, err := s.files.open(segmentName(seg.number), false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	scan := scanner{file: f, end: seg.end, at: segmentHeader, salt: seg.salt}
	for ctx.Err() == nil {
		frame, ok, err := scan.next()
		if err != nil || !ok {
			return last, err
		}
		last = max(last, frame.Seq)
	}
	return last, ctx.Err()
}

// Agent is the spool's UUID, Run the 16 hex digits of this opening.
func (s *Spool) Agent() string { return s.identity.Agent }

// Run is drawn at each opening.
func (s *Spool) Run() string { return s.identity.Run }

// Predecessor is the agent that this folder had on another host, or empty.
func (s *Spool) Predecessor() string { return s.identity.Predecessor }

// Close ends the spool: an Append under way is waited for, later ones fail. It
// must not be called while another goroutine is in Next or Commit.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	g := s.group
	writing := s.writing
	s.mu.Unlock()
	if writing {
		<-g.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.writer.close(), s.reader.close())
}

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("the spool is closed")

// Name writes a frame's name for logs.
func (f *Frame) Name() string { return f.Agent + "/" + f.Run + "/" + strconv.FormatUint(f.Seq, 10) }
