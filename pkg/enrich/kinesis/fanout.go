package kinesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// FanOut is a registered consumer of a stream (enhanced fan-out): each shard's records
// are pushed to whoever subscribes in its name, 2 MiB a second that no other consumer
// shares.
type FanOut struct {
	// Client is one without a time-out for a whole answer: that of a subscription
	// lasts for minutes.
	Client *awskinesis.Client
	// Consumer is the ARN that Register returned.
	Consumer string
}

// How subscriptions are kept. The service ends each after five minutes, refuses a
// second one of a shard within five seconds, and sends an event every few seconds even
// where nothing came.
const (
	betweenSubscriptions = 5 * time.Second
	longestSilence       = 35 * time.Second
	betweenLooks         = time.Second
)

// Register makes a consumer of that name of a stream, where there is none yet, waits
// until it can be used, and returns its ARN. All processes of a group share it; it stays,
// and is paid for, until somebody deregisters it.
func Register(ctx context.Context, client *awskinesis.Client, stream, name string) (arn string, err error) {
	summary, err := client.DescribeStreamSummary(ctx, &awskinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err != nil {
		return "", fmt.Errorf("enhanced fan-out: stream %s: %w", stream, err)
	}
	of := summary.StreamDescriptionSummary.StreamARN
	_, err = client.RegisterStreamConsumer(ctx, &awskinesis.RegisterStreamConsumerInput{StreamARN: of, ConsumerName: &name})
	var there *types.ResourceInUseException
	var full *types.LimitExceededException
	switch {
	case errors.As(err, &full):
		return "", fmt.Errorf("enhanced fan-out: stream %s has as many consumers as it may (or several are being made), and none is called %q: deregister one, or set fan_out to false: %w", stream, name, err)
	case err != nil && !errors.As(err, &there):
		return "", fmt.Errorf("enhanced fan-out: register consumer %q of stream %s (fan_out: false reads without one): %w", name, stream, err)
	}
	for {
		out, err := client.DescribeStreamConsumer(ctx, &awskinesis.DescribeStreamConsumerInput{StreamARN: of, ConsumerName: &name})
		var missing *types.ResourceNotFoundException // a new one may not have got around yet
		switch {
		case err != nil && !errors.As(err, &missing):
			return "", fmt.Errorf("enhanced fan-out: consumer %q of stream %s: %w", name, stream, err)
		case err == nil && out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive:
			return aws.ToString(out.ConsumerDescription.ConsumerARN), nil
		case err == nil && out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusDeleting:
			return "", fmt.Errorf("enhanced fan-out: consumer %q of stream %s is being deregistered: start again when it is gone", name, stream)
		}
		select {
		case <-time.After(betweenLooks):
		case <-ctx.Done():
			return "", fmt.Errorf("enhanced fan-out: consumer %q of stream %s is not active yet: %w", name, stream, ctx.Err())
		}
	}
}

// errNowhere must not be taken for the end of the shard: its children would be begun.
var errNowhere = errors.New("an event tells neither how to go on nor which shards follow")

// subscription subscribes to the shard and sends what is pushed, for as long as the
// service keeps it up. It returns how long to wait before the next.
func (r *reader) subscription(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(longestSilence, cancel)
	defer silence.Stop()
	out, err := r.subscribe(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	events := out.GetStream()
	defer func() { _ = events.Close() }() // its error is told by Err
	for event := range events.Events() {
		silence.Stop() // to hand an event on may take long
		e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			continue
		}
		if err := r.pushed(ctx, &e.Value); err != nil {
			return 0, err
		}
		r.throttle.Reset()
		silence.Reset(longestSilence)
	}
	if err := events.Err(); err != nil {
		return 0, fmt.Errorf("subscription: %w", err)
	}
	return max(0, betweenSubscriptions-time.Since(began)), nil
}

func (r *reader) subscribe(ctx context.Context) (*awskinesis.SubscribeToShardOutput, error) {
	from := r.place()
	if r.goOn != "" && (r.whole || !r.at.Number()) {
		from = types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &r.goOn}
	}
	// A client of its own for each subscription: the SDK's (1.56.12) reads all streams of
	// events of one client into the same memory, without a lock.
	client := awskinesis.New(r.fanOut.Client.Options())
	out, err := client.SubscribeToShard(ctx, &awskinesis.SubscribeToShardInput{
		ConsumerARN: &r.fanOut.Consumer, ShardId: &r.shard, StartingPosition: &from,
	})
	if err == nil {
		return out, nil
	}
	var invalid *types.InvalidArgumentException
	switch {
	case r.goOn != "" && errors.As(err, &invalid):
		r.goOn = "" // the checkpoint may still be a place
		return r.subscribe(ctx)
	case r.lost(err):
		return r.subscribe(ctx)
	}
	return nil, fmt.Errorf("subscribe: %w", err)
}

// pushed sends what an event holds. Its error is errEnded when that was the shard's last.
func (r *reader) pushed(ctx context.Context, e *types.SubscribeToShardEvent) error {
	ended := len(e.ChildShards) > 0
	if err := r.send(ctx, e.Records, page{ended: ended}, e.ChildShards); err != nil {
		return err
	}
	r.goOn = aws.ToString(e.ContinuationSequenceNumber)
	switch {
	case ended:
		return errEnded
	case r.goOn == "":
		return errNowhere
	}
	return nil
}
