package kinesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/cenkalti/backoff/v4"

	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
)

// A shard answers five calls a second, of all who read it, so one is made at most
// every betweenCalls; slowest is the longest wait after it refused one.
const (
	betweenCalls = 250 * time.Millisecond
	slowest      = 10 * time.Second
	perCall      = 10_000
)

// reader reads one shard, in a goroutine of its own.
type reader struct {
	client *awskinesis.Client
	stream string
	shard  string
	idle   time.Duration // between calls while nothing comes
	unpack Unpacker
	pages  chan page
	log    *slog.Logger

	at       lease.Checkpoint // the last record read
	whole    bool             // all of what at's Kinesis record holds was read
	since    time.Time        // when Latest was
	throttle backoff.BackOff
	told     time.Time
}

// placed is a record with its place in the shard.
type placed struct {
	Record
	at lease.Checkpoint
}

// page is what one call returned, or a part of it.
type page struct {
	records []placed
	// ended tells that the shard has no more, and children which follow on it.
	ended    bool
	children []string
}

// run sends pages until ctx ends or the shard does.
func (r *reader) run(ctx context.Context, from lease.Checkpoint) {
	defer r.unpack.Close()
	r.at = from
	r.throttle = backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(betweenCalls), backoff.WithMaxInterval(slowest), backoff.WithMaxElapsedTime(0))
	var iterator *string
	for {
		wait, err := r.call(ctx, &iterator)
		switch {
		case ctx.Err() != nil || errors.Is(err, errEnded):
			return
		case err != nil:
			wait = r.failed(err, &iterator)
		default:
			r.throttle.Reset()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

var errEnded = errors.New("the shard has ended")

// call makes one call and sends its page. It returns how long to wait before the next.
func (r *reader) call(ctx context.Context, iterator **string) (wait time.Duration, err error) {
	if *iterator == nil {
		if *iterator, err = r.iterator(ctx); err != nil {
			return 0, err
		}
	}
	out, err := r.client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: *iterator, Limit: aws.Int32(perCall)})
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	*iterator = out.NextShardIterator
	if err := r.send(ctx, out); err != nil {
		return 0, err
	}
	switch {
	case *iterator == nil:
		return 0, errEnded
	case len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0:
		return max(r.idle, betweenCalls), nil
	}
	return betweenCalls, nil
}

// send sends what a call returned: in several pages where records turn out to hold
// more than was read, which a hostile one may.
func (r *reader) send(ctx context.Context, out *awskinesis.GetRecordsOutput) error {
	var p page
	size := 0
	for i := range out.Records {
		before := len(p.records)
		p.records = r.take(p.records, &out.Records[i])
		for _, record := range p.records[before:] {
			size += len(record.Input.Value)
		}
		if size >= maxBytes {
			if err := r.sendPage(ctx, p); err != nil {
				return err
			}
			p, size = page{}, 0
		}
	}
	if p.ended = out.NextShardIterator == nil; p.ended {
		for _, child := range out.ChildShards {
			p.children = append(p.children, aws.ToString(child.ShardId))
		}
	}
	return r.sendPage(ctx, p)
}

func (r *reader) sendPage(ctx context.Context, p page) error {
	select {
	case r.pages <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take appends what a Kinesis record holds, but for what was read before.
func (r *reader) take(dst []placed, in *types.Record) []placed {
	p := Packed{PartitionKey: aws.ToString(in.PartitionKey), Sequence: aws.ToString(in.SequenceNumber), Data: in.Data, Arrived: aws.ToTime(in.ApproximateArrivalTimestamp)}
	for _, record := range r.unpack.Unpack(nil, &p) {
		at := lease.Checkpoint{Sequence: p.Sequence, Sub: record.Sub}
		if r.at.Number() && at.Compare(r.at) <= 0 {
			continue
		}
		dst = append(dst, placed{record, at})
		r.at = at
	}
	// What holds nothing, or nothing of this shard, is passed too.
	if passed := (lease.Checkpoint{Sequence: p.Sequence}); !r.at.Number() || passed.Compare(r.at) > 0 {
		r.at = passed
	}
	r.whole = r.at.Sequence == p.Sequence
	return dst
}

// iterator asks for the place to go on from.
func (r *reader) iterator(ctx context.Context) (*string, error) {
	in := &awskinesis.GetShardIteratorInput{StreamName: &r.stream, ShardId: &r.shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	switch {
	case r.at.Number() && r.whole:
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &r.at.Sequence
	case r.at.Number(): // there may be more in the same Kinesis record
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAtSequenceNumber, &r.at.Sequence
	case r.at.Sequence == lease.Latest && r.since.IsZero():
		r.since = time.Now()
		in.ShardIteratorType = types.ShardIteratorTypeLatest
	case r.at.Sequence == lease.Latest: // what came since is not to be passed over
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &r.since
	}
	out, err := r.client.GetShardIterator(ctx, in)
	var invalid *types.InvalidArgumentException
	if errors.As(err, &invalid) && r.at.Number() {
		r.log.Error("the checkpoint is no place in the shard, which is read from its start: another stream had this name, or retention was faster than we",
			"shard", r.shard, "sequence", r.at.Sequence, "error", err)
		r.at, r.whole = lease.Checkpoint{Sequence: lease.TrimHorizon}, false
		return r.iterator(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("iterator: %w", err)
	}
	return out.ShardIterator, nil
}

// failed tells what went wrong, at most once a minute, and returns how long to wait.
func (r *reader) failed(err error, iterator **string) time.Duration {
	var expired *types.ExpiredIteratorException
	if errors.As(err, &expired) {
		*iterator = nil
		return 0
	}
	wait := r.throttle.NextBackOff()
	var throttled *types.ProvisionedThroughputExceededException
	if errors.As(err, &throttled) {
		return wait
	}
	*iterator = nil // it may be what is wrong
	if time.Since(r.told) > time.Minute {
		r.told = time.Now()
		r.log.Error("cannot read, will try again", "stream", r.stream, "shard", r.shard, "error", err)
	}
	return wait
}
