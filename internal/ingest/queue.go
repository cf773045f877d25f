package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/cenkalti/backoff/v4"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// Queue is a queue of SQS that notifications of files come to: from S3, SNS, CloudTrail's
// own topic of SNS, or EventBridge.
type Queue struct {
	SQS *sqs.Client
	URL string
	// Wait is how long one question waits for messages, at most 20 s; Hidden how long
	// a message is kept from others while its files are read.
	Wait, Hidden time.Duration
	// Once ends Follow when the queue has nothing more to give.
	Once bool
}

// Defaults of Queue.
const (
	DefaultQueueWait = 20 * time.Second
	DefaultHidden    = 5 * time.Minute
)

// Follow takes the files that the queue names until ctx ends. A message is deleted once
// Kafka has the records of all its files; one whose files could not be read comes again
// when the queue shows it again. A message that names no file is told and deleted.
func (i *Ingest) Follow(ctx context.Context, q Queue) error {
	if q.Wait <= 0 {
		q.Wait = DefaultQueueWait
	}
	if q.Hidden <= 0 {
		q.Hidden = DefaultHidden
	}
	retry := backoff.NewExponentialBackOff(backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		messages, err := q.receive(ctx)
		if err == nil && len(messages) == 0 && q.Once {
			return nil
		}
		for at := 0; err == nil && at < len(messages); at++ {
			err = i.message(ctx, q, &messages[at])
		}
		switch {
		case err == nil:
			retry.Reset()
		case q.Once:
			return err
		case ctx.Err() == nil:
			wait := retry.NextBackOff()
			i.Log.Warn("files of CloudTrail cannot be read or written; what was not comes again", "error", err, "again_in", wait.Round(time.Millisecond))
			pause(ctx, wait)
		}
	}
	return nil
}

func (q *Queue) receive(ctx context.Context) ([]types.Message, error) {
	out, err := q.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(q.Wait / time.Second), VisibilityTimeout: int32(q.Hidden / time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("ask queue %s: %w", q.URL, err)
	}
	return out.Messages, nil
}

func (i *Ingest) message(ctx context.Context, q Queue, m *types.Message) error {
	var files []cloudtrail.Object
	known := false
	err := cloudtrail.Decode([]byte(*m.Body), cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		known = known || f.Skipped != "" || f.Object != nil
		if f.Object != nil {
			files = append(files, *f.Object)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("message of queue %s: %w", q.URL, err)
	}
	if !known {
		i.counts.Unreadable++
		i.Log.Warn("a message of the queue names no file; it is deleted", "queue", q.URL, "message", m.MessageId)
	}
	for _, f := range files {
		if skipped(f.Key) {
			continue
		}
		if err := i.file(ctx, f.Bucket, f.Key); err != nil {
			return err
		}
	}
	if _, err := q.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("delete a message of queue %s, whose files come once more: %w", q.URL, err)
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// ErrInterrupted tells that not all was taken, because ctx ended.
var ErrInterrupted = errors.New("interrupted: what is missing comes with the next run")
