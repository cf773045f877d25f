// Package sink says what "delivered" means. It holds the record that travels to
// a destination, the one interface every destination implements, the words its
// errors use, and the loop that moves batches from a source to a sink.
//
// It must never know a destination, a record's meaning, or osquery: those live
// in the rooms below it and beside it.
package sink

import (
	"context"
	"time"
)

// Header is one name and value that travels beside a record where the
// destination has room for it (Kafka). Destinations without headers drop them:
// nothing a reader needs may live in a header alone.
type Header struct {
	Key   string
	Value []byte
}

// Record is one thing to deliver. Its slices belong to the batch it came in:
// a Sink may read them until Write returns and must not keep or change them.
type Record struct {
	// Topic is the destination's name for the stream: a Kafka topic or a
	// Kinesis stream. Empty means the sink's own default, where it has one.
	Topic string
	// Key decides the partition. Records of equal key keep their order.
	Key []byte
	// Value is the record's bytes, delivered as they are.
	Value []byte
	// Headers repeat what the value says, for readers that do not parse it.
	Headers []Header
	// Time is the destination's timestamp. It is never event time: zero means
	// the moment of sending.
	Time time.Time
}

// Sink is one destination.
//
// Write returns nil only when every record of the batch is durable downstream,
// in the order given for records of equal topic and key. A *BatchError says
// which failed, and that all others are durable. Any other error means that
// the fate of the whole batch is unknown: the caller sends it again, and names
// make the repeats recognisable. A sink must not deliver a record whose elder
// of equal topic and key it reports as failed in the same batch. Write must
// return soon after ctx ends.
//
// Write is called by one goroutine at a time. Close flushes nothing: after the
// last Write has returned there is nothing left to flush. It frees connections,
// and returns by the time ctx ends.
type Sink interface {
	Write(ctx context.Context, batch []Record) error
	Close(ctx context.Context) error
}

// Batch is what a Source hands out: records in order, and the way to say what
// became of them.
type Batch struct {
	// Records may be empty: a source may have positions to acknowledge and
	// nothing to send. They stay valid until Ack is called.
	Records []Record
	// Ack is called exactly once. With nil, every record is durable
	// downstream, or was set aside on record, and the source moves its durable
	// read position past the batch; a non-nil result means that this failed,
	// and the batch will be handed out again after a restart. With an error
	// nothing moves.
	Ack func(error) error
}

// Source hands out batches. Next blocks until there is one, ctx ends, or the
// source is finished (io.EOF). It is called by one goroutine, and the next call
// may come before the earlier batch was acknowledged only when the caller
// acknowledges batches in the order it got them.
type Source interface {
	Next(ctx context.Context) (Batch, error)
}
