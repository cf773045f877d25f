package enrich

import (
	"context"
	"time"
)

// Enricher is a stateless lookup. "Don't know" is a gap on the event; an error
// means that the infrastructure failed, and that the event is to be tried again.
// It is safe for concurrent use.
type Enricher interface {
	Name() string
	Enrich(ctx context.Context, e *Event) error
}

// Operator owns one partition's share of a join: what it keeps belongs to that
// partition and moves with it. Its methods are called by one goroutine, in the
// partition's order.
//
// An aborted transaction throws an operator away with what its State was told, and
// hands the same events to one that is built anew from the State of the last commit.
type Operator interface {
	// OnEvent sees a row of one of the partition's hosts and may answer its
	// questions.
	OnEvent(e *Event, out *Out) error
	// OnSide sees a record about one of the hosts that did not arrive keyed by
	// it.
	OnSide(r *Side, out *Out) error
	// OnTime tells that a host's clock moved: time to release and to expire.
	OnTime(host Host, now time.Time, out *Out) error
}

// Idler is an Operator that has something to do whether records come or not. It is
// called every second or so.
type Idler interface {
	OnIdle(out *Out) error
}

// Sealer is an Operator that keeps some of what it was told in memory until Seal puts
// it into its State, before a commit.
type Sealer interface {
	Seal() error
}

// Answerer is an Operator that takes something from events it also answers for. Its
// Answer gives such an event, which it has taken before, its answer of today and
// keeps nothing. An Operator without it is asked by OnEvent.
type Answerer interface {
	Answer(e *Event) error
}

// Finisher is an Operator that holds something back. Finish tells all of it: no more
// input will come.
type Finisher interface {
	Finish(out *Out) error
}

// Guard stands before the operators and may drop a row, as one that came before. Like
// them it owns one partition's share, is called by one goroutine, and is thrown away
// when a transaction is aborted: one that lived on would drop the rows that are handed
// in again.
type Guard interface {
	// Check sees each row first.
	Check(e *Event, out *Out) (drop bool, err error)
	// OnTime tells that a host's clock moved.
	OnTime(host Host, now time.Time, out *Out) error
	// OnTick tells the partition's time, when its newest record was appended: none
	// that was appended before is still to come.
	OnTick(now time.Time, out *Out) error
	// Flush puts what it keeps in memory into its State, before a commit.
	Flush() error
}

// Stream is a logical output.
type Stream uint8

// The outputs of this version.
const (
	Enriched Stream = iota
	DeadLetters
	Findings
	// Sides are records about hosts (Side), each for the partition that Output names.
	Sides
	// Facts are what every process is to know of hosts, keyed for compaction.
	Facts
	// CloudTrail are CloudTrail's records, enriched.
	CloudTrail
)

// String is the stream's name in configuration and summaries.
func (s Stream) String() string {
	switch s {
	case DeadLetters:
		return "deadletter"
	case Findings:
		return "findings"
	case Sides:
		return "side"
	case Facts:
		return "facts"
	case CloudTrail:
		return "cloudtrail"
	}
	return "enriched"
}

// ByKey as an Output's Partition leaves it to the key, as every producer of Kafka's
// default kind does: the partition of a host's rows is that of its key.
const ByKey int32 = -1

// Output is one record to write.
type Output struct {
	Stream     Stream
	Key, Value []byte
	// ID is the event's, Kind its kind and Schema the value's schema; headers
	// repeat them where the destination has headers.
	ID, Kind, Schema string
	// Partition is where a record of Sides goes, or ByKey. Other streams go by key.
	Partition int32
}

// Out collects what one step writes. Its records stay valid until Reset.
type Out struct {
	Outputs []Output
	// full and free are blocks that the records' bytes lie in, to be used again.
	full, free [][]byte
	block      []byte
}

// Add appends one record, whose bytes the Out owns from then on.
func (o *Out) Add(r Output) { o.Outputs = append(o.Outputs, r) }

// outBlock is the size of the Out's blocks. Together they are as large as the largest
// transaction was.
const outBlock = 256 << 10

// Copy returns a copy of b, which stays valid until Reset as the records do.
func (o *Out) Copy(b []byte) []byte {
	if len(b) > outBlock/4 {
		return append([]byte(nil), b...)
	}
	if len(b) > cap(o.block)-len(o.block) {
		o.next()
	}
	start := len(o.block)
	o.block = append(o.block, b...)
	return o.block[start:len(o.block):len(o.block)]
}

func (o *Out) next() {
	if o.block != nil {
		o.full = append(o.full, o.block)
	}
	if n := len(o.free); n > 0 {
		o.block, o.free = o.free[n-1], o.free[:n-1]
		return
	}
	o.block = make([]byte, 0, outBlock)
}

// Reset forgets the collected records.
func (o *Out) Reset() {
	clear(o.Outputs)
	o.Outputs = o.Outputs[:0]
	for _, b := range o.full {
		o.free = append(o.free, b[:0])
	}
	o.full, o.block = o.full[:0], o.block[:0]
}
