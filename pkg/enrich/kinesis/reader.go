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
	fanOut *FanOut // nil to ask for records, else they are pushed
	stream string
	shard  string
	idle   time.Duration // between calls while nothing comes
	unpack Unpacker
	pages  chan page
	log    *slog.Logger

	at       lease.Checkpoint            // the last record read
	whole    bool                        // all of what at's Kinesis record holds was read
	since    time.Time                   // when Latest was
	iterator *string                     // of the next call, where records are asked for
	goOn     string                      // what the next subscription follows on, where there was one
	throttle *backoff.ExponentialBackOff // reset by what succeeds
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
	// tip tells that the shard had no more by then.
	tip bool
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
	next := r.call
	if r.fanOut != nil {
		next = r.subscription
	}
	for {
		wait, err := next(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, errEnded):
			return
		case err != nil:
			wait = r.failed(err)
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
func (r *reader) call(ctx context.Context) (wait time.Duration, err error) {
	if r.iterator == nil {
		if r.iterator, err = r.findPlace(ctx); err != nil {
			return 0, err
		}
	}
	out, err := r.client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: r.iterator, Limit: aws.Int32(perCall)})
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	r.iterator = out.NextShardIterator
	tip := aws.ToInt64(out.MillisBehindLatest) == 0
	if err := r.send(ctx, out.Records, page{tip: tip, ended: r.iterator == nil}, out.ChildShards); err != nil {
		return 0, err
	}
	switch {
	case r.iterator == nil:
		return 0, errEnded
	case len(out.Records) == 0 && tip:
		return max(r.idle, betweenCalls), nil
	}
	return betweenCalls, nil
}

// send sends what came at once, and what last says of it: in several pages where records
// turn out to hold more than was read, which a hostile one may.
func (r *reader) send(ctx context.Context, records []types.Record, last page, children []types.ChildShard) error {
	var p page
	size := 0
	for i := range records {
		before := len(p.records)
		p.records = r.take(p.records, &records[i])
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
	if p.tip, p.ended = last.tip, last.ended; p.ended {
		for _, child := range children {
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

// place is where to go on from.
func (r *reader) place() types.StartingPosition {
	switch {
	case r.at.Number() && r.whole:
		return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &r.at.Sequence}
	case r.at.Number(): // there may be more in the same Kinesis record
		return types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &r.at.Sequence}
	case r.at.Sequence == lease.Latest && r.since.IsZero():
		r.since = time.Now()
		return types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	case r.at.Sequence == lease.Latest: // what came since is not to be passed over
		return types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: &r.since}
	}
	return types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
}

// findPlace asks for the iterator of where to go on from.
func (r *reader) findPlace(ctx context.Context) (*string, error) {
	from := r.place()
	out, err := r.client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
		StreamName: &r.stream, ShardId: &r.shard,
		ShardIteratorType: from.Type, StartingSequenceNumber: from.SequenceNumber, Timestamp: from.Timestamp,
	})
	if err != nil {
		if r.lost(err) {
			return r.findPlace(ctx)
		}
		return nil, fmt.Errorf("iterator: %w", err)
	}
	return out.ShardIterator, nil
}

// lost tells whether the checkpoint turned out to be no place in the shard. The shard is
// then read from its start.
func (r *reader) lost(err error) bool {
	var invalid *types.InvalidArgumentException
	if !errors.As(err, &invalid) || !r.at.Number() {
		return false
	}
	r.log.Error("the checkpoint is no place in the shard, which is read from its start: another stream had this name, or retention was faster than we",
		"shard", r.shard, "sequence", r.at.Sequence, "error", err)
	r.at, r.whole = lease.Checkpoint{Sequence: lease.TrimHorizon}, false
	return true
}

// failed tells what went wrong, at most once a minute, and returns how long to wait.
func (r *reader) failed(err error) time.Duration {
	var expired *types.ExpiredIteratorException
	if errors.As(err, &expired) {
		r.iterator = nil
		return 0
	}
	wait := r.throttle.NextBackOff()
	var throttled *types.ProvisionedThroughputExceededException
	var taken *types.ResourceInUseException // for some seconds, by the last owner's subscription
	if errors.As(err, &throttled) || errors.As(err, &taken) && r.throttle.GetElapsedTime() < time.Minute {
		return wait
	}
	r.iterator = nil // it may be what is wrong
	if time.Since(r.told) > time.Minute {
		r.told = time.Now()
		r.log.Error("cannot read, will try again", "stream", r.stream, "shard", r.shard, "error", err)
	}
	return wait
}
