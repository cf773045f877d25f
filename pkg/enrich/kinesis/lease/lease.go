package lease

import (
	"cmp"
	"errors"
	"slices"
)

// Sequence numbers that are words: where a shard begins, where only what comes from
// now on is read, and a shard that has been read to its end.
const (
	TrimHorizon = "TRIM_HORIZON"
	Latest      = "LATEST"
	ShardEnd    = "SHARD_END"
)

// Checkpoint is the last record of a shard that need not be read again: its sequence
// number and, in an aggregate, its number from 0. Or one of the words.
type Checkpoint struct {
	Sequence string
	Sub      int64
}

// Number tells whether the checkpoint is a record's, not a word.
func (c Checkpoint) Number() bool {
	return c.Sequence != "" && c.Sequence[0] >= '0' && c.Sequence[0] <= '9'
}

// Compare orders records of a shard: negative where c is before d. Both are numbers.
func (c Checkpoint) Compare(d Checkpoint) int {
	return cmp.Or(cmp.Compare(len(c.Sequence), len(d.Sequence)), cmp.Compare(c.Sequence, d.Sequence), cmp.Compare(c.Sub, d.Sub))
}

// Progress is what an owner writes of a shard.
type Progress struct {
	Checkpoint
	// Offset is how many records were read of the shard, and before it of its
	// parents.
	Offset int64
	// Journal names what was written of the shard's state; empty for nothing. Sent
	// tells that the output in it is known to be delivered.
	Journal string
	Sent    bool
	// Epoch counts how often the state was lost.
	Epoch int64
}

// Lease is one item of the table: who reads a shard, and how far. The fields up to
// EndingHash are KCL's own.
type Lease struct {
	// Key is the shard's id.
	Key string
	// Owner reads the shard, or waits to: while Finishing is set, that one still
	// reads it, and is to come to an end. Either may be empty.
	Owner, Finishing string
	// Counter is moved on by who reads. One that stands still is that of somebody
	// who died.
	Counter int64
	// Switches counts owners since the last checkpoint.
	Switches int64
	Parents  []string
	Children []string
	// StartingHash and EndingHash are the shard's part of the hash space, in
	// decimal.
	StartingHash, EndingHash string
	Progress
}

// Holder is who reads the shard.
func (l *Lease) Holder() string {
	if l.Finishing != "" {
		return l.Finishing
	}
	return l.Owner
}

// Ended tells whether the shard has been read to its end.
func (l *Lease) Ended() bool { return l.Sequence == ShardEnd }

// Shard is what Kinesis tells of one.
type Shard struct {
	ID      string
	Parents []string // those that Kinesis still has or once had
	// StartingHash and EndingHash are in decimal.
	StartingHash, EndingHash string
	// Closed tells that it takes no more records.
	Closed bool
}

// ErrLost tells that the item says something else than was expected: another one
// holds the shard now, or moved on what was to be moved on.
var ErrLost = errors.New("the lease is lost")

// begun tells which leases may be read: those whose parents are finished, or gone.
// listed are the shards that Kinesis has.
func begun(l *Lease, leases map[string]*Lease, listed map[string]bool) bool {
	return !slices.ContainsFunc(l.Parents, func(parent string) bool {
		if p := leases[parent]; p != nil {
			return !p.Ended()
		}
		return listed[parent] // its item is about to be made
	})
}
