package spool

import (
	"log/slog"
	"time"
)

// WhenFull says what happens to a call for which there is no room.
type WhenFull byte

// The policies for a full spool or disk. None touches what is being sent.
const (
	// DropOldest removes the oldest segments that are not in flight.
	DropOldest WhenFull = iota
	// DropNewest does not take the call.
	DropNewest
	// Block makes Append wait for room, for BlockFor in all per full episode, and
	// then is DropNewest. An episode ends when a call fitted without waiting.
	Block
)

// Defaults of Config.
const (
	DefaultMaxBytes     = 1 << 30
	DefaultSegmentBytes = 16 << 20
	DefaultHeldBytes    = 8 << 20
	DefaultBlockFor     = 60 * time.Second
	minFreeFloor        = 1 << 30
	minFreeShare        = 20 // the twentieth part of the disk
)

// Config says where a spool is and how large it may get.
type Config struct {
	// Dir is the spool's folder. Its lock must be held (TryLock).
	Dir string
	// HostIDs are what the host is known by without a network: machine id,
	// cloud instance id. When they differ from those the spool was made with, it
	// was copied to another host, and gets a new agent.
	HostIDs []string
	// MaxBytes bounds all files of the spool and Others together; 0 means
	// DefaultMaxBytes.
	MaxBytes int64
	// Others tells the bytes of other files that its owner keeps in the folder;
	// nil means none. It is called often and must be cheap.
	Others func() int64
	// MinFree is what must stay free on the disk; 0 means 1 GiB or 5 % of the
	// disk, whichever is more, negative means nothing.
	MinFree int64
	// WhenFull is the policy for a call that MaxBytes, MinFree or the disk leave
	// no room for.
	WhenFull WhenFull
	// BlockFor bounds Block; 0 means DefaultBlockFor.
	BlockFor time.Duration
	// SyncEvery 0 syncs each call, or the calls that arrive together, before
	// Append returns. Otherwise Append returns after the write and a sync is made
	// when SyncEvery passed since the last one: what was spooled survives a crash
	// of the process, but not a power cut. The owner then calls Sync on a ticker.
	SyncEvery time.Duration
	// HeldBytes bounds what is kept in memory while the disk cannot be written;
	// 0 means DefaultHeldBytes, negative nothing.
	HeldBytes int64
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
	if c.HeldBytes == 0 {
		c.HeldBytes = DefaultHeldBytes
	}
	if c.BlockFor <= 0 {
		c.BlockFor = DefaultBlockFor
	}
	if c.Others == nil {
		c.Others = func() int64 { return 0 }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
