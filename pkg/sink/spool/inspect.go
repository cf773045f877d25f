package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Entry is a range of a segment: a call, or bytes that are none.
type Entry struct {
	File     string
	From, To int64
	// Frame is the call, whose payload is valid until the function it was given to
	// returns; nil for bytes that are none.
	Frame *Frame
	// Waiting tells that the call is not committed.
	Waiting bool
	// Torn bytes are an append that was cut off, or is under way: no damage.
	Torn bool
	// Newer is a whole segment of a format that is not known here.
	Newer bool
}

// Damaged tells that calls are lost with the range.
func (e *Entry) Damaged() bool { return e.Frame == nil && !e.Torn && !e.Newer }

// Summary is what Inspect found.
type Summary struct {
	// Agent and Run are those of the last opening, Clean whether it ended with
	// Close: false too while it lasts.
	Agent, Run string
	Clean      bool
	// Format is the number of the version that opened it last.
	Format int
	// Segments, and Newer of a format not known here, take Bytes.
	Segments, Newer int
	Bytes           int64
	// Calls are all that were found, Waiting those not committed, WaitingBytes
	// their frames' bytes, Oldest when the first of them was spooled.
	Calls, Waiting uint64
	WaitingBytes   int64
	Oldest         time.Time
	Position       Position
	// Losses are noted and not told yet.
	Losses []Loss
	// DamagedRanges and DamagedBytes count what is no frame but should be one.
	DamagedRanges int
	DamagedBytes  int64
}

// Inspect reads all of the spool in dir and calls each, which may be nil, for
// every range of its segments in order, until that returns an error. It changes
// nothing and takes no lock, so that it may run beside the owner: segments that
// go meanwhile are passed over.
func Inspect(ctx context.Context, dir string, each func(Entry) error) (Summary, error) {
	sum, err := inspect(ctx, onDisk(dir), each)
	if err != nil {
		err = fmt.Errorf("spool %s: %w", dir, err)
	}
	return sum, err
}

func inspect(ctx context.Context, files *fileSystem, each func(Entry) error) (Summary, error) {
	if each == nil {
		each = func(Entry) error { return nil }
	}
	i := inspection{files: files, each: each}
	if err := i.begin(); err != nil {
		return Summary{}, err
	}
	numbers, err := files.segments()
	if err != nil {
		return Summary{}, fmt.Errorf("list segments: %w", err)
	}
	for _, n := range numbers {
		if err := i.segment(ctx, n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i.sum, err
		}
	}
	return i.sum, i.endTail(i.ended())
}

// inspection is one Inspect under way.
type inspection struct {
	files    *fileSystem
	each     func(Entry) error
	sum      Summary
	identity identity
	losses   losses
	last     name
	tail     *Entry // bytes at a segment's end whose kind the next frame tells
}

// begin reads the slots.
func (i *inspection) begin() error {
	identities, positions, ledger := identitySlots(i.files), positionSlots(i.files), newLedger(i.files)
	var v ledgerValue
	found, _, err := identities.read(&i.identity)
	if err == nil && !found {
		err = errors.New("there is no spool, or its identity is damaged")
	}
	if err == nil {
		_, _, err = positions.read(&i.sum.Position)
	}
	if err == nil {
		_, _, err = ledger.slots.read(&v)
	}
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	i.losses = v.Losses
	s := &i.sum
	s.Agent, s.Run, s.Clean, s.Format = i.identity.Agent, i.identity.Run, i.identity.Closed != nil, identities.format
	for _, e := range v.Losses {
		if e.Agent != s.Position.Agent || e.To > s.Position.Seq {
			s.Losses = append(s.Losses, e.Loss)
		}
	}
	return nil
}

func (i *inspection) segment(ctx context.Context, n uint64) (err error) {
	file := segmentName(n)
	size, err := i.files.size(file)
	if err != nil {
		return err
	}
	b, err := i.files.readFile(file, segmentHeader)
	if err != nil {
		return err
	}
	i.sum.Segments++
	i.sum.Bytes += size
	h, ok := parseSegmentHeader(b)
	switch {
	case !ok && (newerSegment(b) || newerSegment(b[min(headerBlock, len(b)):])):
		i.sum.Newer++
		return i.each(Entry{File: file, To: size, Newer: true})
	case !ok:
		return i.noFrame(Entry{File: file, To: size, Torn: size <= segmentHeader})
	}
	f, err := i.files.open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return i.frames(ctx, n, scanner{file: f, from: &h, at: segmentHeader, end: size})
}

func (i *inspection) frames(ctx context.Context, n uint64, scan scanner) error {
	var bad *Entry
	scan.damaged = func(from, to int64) { bad = &Entry{File: segmentName(n), From: from, To: to} }
	for ctx.Err() == nil {
		f, ok, err := scan.next()
		if err != nil {
			return err
		}
		if !ok {
			if bad != nil {
				err = i.endTail(false)
				i.tail = bad
			}
			return err
		}
		if err := i.endTail(i.lacksBefore(&f)); err != nil {
			return err
		}
		if bad != nil {
			if err := i.noFrame(*bad); err != nil {
				return err
			}
			bad = nil
		}
		if err := i.frame(n, &f); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (i *inspection) frame(n uint64, f *Frame) error {
	e := Entry{File: segmentName(n), From: f.place.start, To: f.place.end, Frame: f}
	if i.last.agent == f.Agent && i.last.run == f.Run && f.Seq <= i.last.seq {
		return nil // a second copy
	}
	i.last = name{f.Agent, f.Run, f.Seq}
	i.sum.Calls++
	p := &i.sum.Position
	left := slices.ContainsFunc(p.Left, func(l Left) bool { return l.Segment == n && l.Offset <= e.From })
	if e.Waiting = left || n > p.Segment || n == p.Segment && e.From >= p.Offset; e.Waiting {
		i.sum.Waiting++
		i.sum.WaitingBytes += e.To - e.From
		if i.sum.Oldest.IsZero() {
			i.sum.Oldest = f.Spooled
		}
	}
	return i.each(e)
}

// lacksBefore tells whether calls are missing before a frame that nothing noted.
func (i *inspection) lacksBefore(f *Frame) (lacks bool) {
	if i.last.agent == f.Agent && f.Seq > i.last.seq {
		i.losses.uncovered(f.Agent, i.last.seq, f.Seq, func(_, _ uint64) { lacks = true })
	}
	return lacks
}

// ended tells the same of the end of a spool that was closed in order.
func (i *inspection) ended() (lacks bool) {
	if i.identity.Closed != nil && i.last.agent == i.identity.Agent {
		i.losses.uncovered(i.last.agent, i.last.seq, *i.identity.Closed+1, func(_, _ uint64) { lacks = true })
	}
	return lacks
}

func (i *inspection) endTail(damaged bool) error {
	if i.tail == nil {
		return nil
	}
	e := *i.tail
	i.tail, e.Torn = nil, !damaged
	return i.noFrame(e)
}

func (i *inspection) noFrame(e Entry) error {
	if e.Damaged() {
		i.sum.DamagedRanges++
		i.sum.DamagedBytes += e.To - e.From
	}
	return i.each(e)
}
