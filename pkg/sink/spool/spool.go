package spool

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Spool is an open spool. Append, Lose, Recover, Sync and Stats may be called from
// many goroutines; Next, Ready, Rewind and Commit from one. It starts no
// goroutine.
//
// Two locks guard it, taken in this order: disk is held by who writes segments
// and the ledger, mu guards what is in memory and is never held over a write.
type Spool struct {
	cfg      Config
	files    *fileSystem
	identity identity
	run      uint64
	clean    bool
	// lastSpooled is when the last call before this opening was.
	lastSpooled time.Time

	identities, positions slots

	disk       sync.Mutex
	writer     writer
	episode    time.Duration // waited for room since the spool got full
	unwritable unwritable

	reader reader

	mu       sync.Mutex
	segments []*segment // ascending; the last is written while writer.file is open
	// old are segments before the position that an older version left.
	old        map[uint64]*segment
	newerBytes int64 // of segments left for a newer version
	skipped    bool  // such segments lie behind the position: seqs may be in them
	aside      int64 // bytes in files of damaged bytes
	nextSeq    uint64
	kept       map[string]uint64 // by stream, the last seq that is not lost
	group      *group
	held       held
	ledger     ledger
	// committed is where reading begins after a restart; told is the position
	// before it, which a damaged slot would go back to.
	committed, told Position
	known           bool   // committed was found
	damaged         name   // how far damage was counted
	handed          uint64 // the last seq of ours that was handed out in this opening
	writing         bool
	closed          bool
	idle            *sync.Cond // writing ended
	lost            map[Reason]Lost
	syncs           Syncs
	blocked         time.Duration
	// more is closed, and replaced, when frames became durable, freed when
	// segments were removed. closing is closed by Close.
	more, freed, closing chan struct{}
}

// Open opens the spool in cfg.Dir, whose lock the caller holds, or makes one. It
// draws a new run and makes it durable.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	return open(ctx, cfg, onDisk(cfg.Dir))
}

func open(ctx context.Context, cfg Config, files *fileSystem) (*Spool, error) {
	s := &Spool{
		cfg: cfg.withDefaults(), files: files,
		identities: identitySlots(files), positions: positionSlots(files), ledger: newLedger(files),
		old: map[uint64]*segment{}, kept: map[string]uint64{}, lost: map[Reason]Lost{}, group: newGroup(),
		more: make(chan struct{}), freed: make(chan struct{}), closing: make(chan struct{}),
	}
	s.idle = sync.NewCond(&s.mu)
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("spool %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// Agent is the spool's UUID, Run the 16 hex digits of this opening.
func (s *Spool) Agent() string { return s.identity.Agent }

// Run is drawn at each opening.
func (s *Spool) Run() string { return s.identity.Run }

// Predecessor is the agent that this folder had on another host, or empty.
func (s *Spool) Predecessor() string { return s.identity.Predecessor }

// Clean tells whether the opening before this one ended with Close, or there was
// none.
func (s *Spool) Clean() bool { return s.clean }

// LastSpooled is when the last call before this opening was spooled; zero when
// that is not known.
func (s *Spool) LastSpooled() time.Time { return s.lastSpooled }

func (s *Spool) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close ends the spool: an Append under way is waited for, later ones fail. What
// is held in memory is tried once more. It must not be called while another
// goroutine is in Next or Commit.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	for s.writing {
		s.idle.Wait()
	}
	s.mu.Unlock()
	s.disk.Lock()
	defer s.disk.Unlock()
	err := s.finish()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.reader.close())
}

// finish writes all that can be written and notes that the run ended in order.
func (s *Spool) finish() error {
	err := s.recover()
	if err == nil {
		if err = s.syncUnsynced(); err != nil {
			err = s.writeHeld() // read back
		}
	}
	s.mu.Lock()
	for i := range s.held.calls {
		p := &s.held.calls[i]
		s.loseRange(Unwritable, p.call.Stream, p.seq, 1, int64(len(p.call.Payload)))
	}
	s.held = held{}
	last := s.nextSeq - 1
	s.identity.Closed = &last
	s.mu.Unlock()
	s.ledger.dirty = s.ledger.dirty || len(s.ledger.losses) > 0 // in both slots
	err = errors.Join(err, s.writeLedger(s.ledger.slots.writeBoth), s.identities.writeBoth(s.identity))
	w := &s.writer
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		w.file = nil
	}
	if err != nil {
		return fmt.Errorf("spool: close: %w", err)
	}
	return nil
}

// Name writes a frame's name for logs.
func (f *Frame) Name() string { return f.Agent + "/" + f.Run + "/" + strconv.FormatUint(f.Seq, 10) }
