package retro

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
)

// format is the number that values in the State begin with.
const format = 1

// bucket is some minutes of a partition, in the order of its inputs.
type bucket struct {
	number uint64
	// since and until bound when its rows were appended.
	since, until time.Time
	// spans are where they lie, by topic.
	spans []span
	// asked says which loads of which feeds all of its rows were asked of: rows that
	// came later may have been asked of later ones.
	asked []load
	// listed tells that the values are in the State; else any may be among them.
	listed bool
}

type span struct {
	topic    string
	from, to int64
}

// load is a feed and when what was in use of it had been loaded, in Unix seconds.
type load struct {
	feed string
	at   int64
}

// at is when the feed's load was that the rows were asked of; 0 for a feed that was
// not there.
func (b *bucket) at(feed string) int64 { return atOf(b.asked, feed) }

func atOf(loads []load, feed string) int64 {
	for _, l := range loads {
		if l.feed == feed {
			return l.at
		}
	}
	return 0
}

// reach makes the bucket end after a row.
func (b *bucket) reach(topic string, offset int64, appended time.Time) {
	if appended.After(b.until) {
		b.until = appended
	}
	for i := range b.spans {
		if s := &b.spans[i]; s.topic == topic {
			s.to = max(s.to, offset+1)
			return
		}
	}
	b.spans = append(b.spans, span{topic, offset, offset + 1})
}

func (b *bucket) encode() []byte {
	v := compact.Number(nil, format)
	v = compact.Truth(compact.Time(compact.Time(v, b.since), b.until), b.listed)
	v = compact.Number(v, uint64(len(b.spans)))
	for _, s := range b.spans {
		v = compact.Number(compact.Number(compact.Text(v, s.topic), uint64(s.from)), uint64(s.to))
	}
	v = compact.Number(v, uint64(len(b.asked)))
	for _, l := range b.asked {
		v = compact.Signed(compact.Text(v, l.feed), l.at)
	}
	return v
}

func readBucket(number uint64, value []byte) (*bucket, error) {
	r := compact.NewReader(value)
	r.Format(format)
	b := &bucket{number: number, since: r.Time(), until: r.Time(), listed: r.Truth()}
	for range r.Length() {
		b.spans = append(b.spans, span{r.Text(), int64(r.Number()), int64(r.Number())})
	}
	for range r.Length() {
		b.asked = append(b.asked, load{r.Text(), r.Signed()})
	}
	if r.Err() == nil && r.Rest() > 0 {
		r.Fail(errors.New("bytes left over"))
	}
	return b, r.Err()
}

// short is what is kept of a hash: of 50,000 values one in 86,000 others seems to be
// among them.
func short(hash uint64) uint32 { return uint32(hash >> 32) }

// encodeValues writes the values in order, each as what it is more than the one
// before.
func encodeValues(set map[uint32]struct{}) []byte {
	all := make([]uint32, 0, len(set))
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	b := compact.Number(make([]byte, 0, 3*len(all)+4), format)
	last := uint32(0)
	for _, v := range all {
		b = binary.AppendUvarint(b, uint64(v-last))
		last = v
	}
	return b
}

var errValues = errors.New("not a list of values of a form that is known")

// mayHold tells whether one of the hashes, which are in order, may be among values
// that encodeValues wrote.
func mayHold(value []byte, hashes []uint64) (bool, error) {
	n, used := binary.Uvarint(value)
	if used <= 0 || n != format {
		return false, errValues
	}
	value = value[used:]
	last := uint64(0)
	for len(value) > 0 && len(hashes) > 0 {
		n, used := binary.Uvarint(value)
		if used <= 0 || last+n > 1<<32-1 {
			return false, errValues
		}
		last, value = last+n, value[used:]
		hashes = from(hashes, last)
		if len(hashes) > 0 && uint64(short(hashes[0])) == last {
			return true, nil
		}
	}
	return false, nil
}

// from returns the hashes whose short form is value or more. It looks at few of them,
// since the next is often near.
func from(hashes []uint64, value uint64) []uint64 {
	step := 1
	for step < len(hashes) && uint64(short(hashes[step])) < value {
		step *= 2
	}
	low := step / 2
	i, _ := slices.BinarySearchFunc(hashes[low:min(step+1, len(hashes))], value, func(hash, value uint64) int {
		if uint64(short(hash)) < value {
			return -1
		}
		return 1
	})
	return hashes[low+i:]
}
