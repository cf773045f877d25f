// Package ingest brings CloudTrail's records out of S3 into a Kafka topic: the files
// that a queue of notifications names, and those below a prefix. A record's key is
// eventID/recipientAccountId, by which its copies are recognised downstream.
//
// It must never acknowledge a file before Kafka has all of its records, so that after
// a failure records come again rather than not at all; change a record; or stop for a
// file that cannot be read.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Limits of one batch to Kafka.
const (
	batchRecords = 1000
	batchBytes   = 4 << 20
)

// Counts is what was done so far.
type Counts struct {
	Files, Records int64
	// Unreadable are parts of files that are dead letters, Missing files that were
	// named and are not there any more, Oversized records that the topic refuses.
	Unreadable, Missing, Oversized int64
	// Bytes are of the files, as they lie in S3.
	Bytes int64
}

// Ingest writes files' records to Kafka. It is for one goroutine.
type Ingest struct {
	// Files are the buckets, Kafka the brokers; both belong to the caller.
	Files *s3.Client
	Kafka *kgo.Client
	// Topic takes the records, DeadLetter what cannot be one.
	Topic, DeadLetter string
	Log               *slog.Logger
	// Progress is called after each file, if it is not nil.
	Progress func(Counts)

	counts Counts
	batch  []*kgo.Record
	bytes  int
}

// Counts tells what was done so far.
func (i *Ingest) Counts() Counts { return i.counts }

// file takes one file. nil means that Kafka has all of its records, or that there is
// no such file.
func (i *Ingest) file(ctx context.Context, bucket, key string) (err error) {
	name := "s3://" + bucket + "/" + key
	object, err := i.Files.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if absent(err) {
		i.counts.Missing++
		i.Log.Warn("a file that was named is not in its bucket", "file", name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, object.Body.Close()) }()
	i.batch, i.bytes = i.batch[:0], 0
	body := &counted{r: object.Body}
	if err := cloudtrail.Read(body, cloudtrail.Limits{}, func(f cloudtrail.Found) error { return i.take(ctx, f, bucket, key) }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := i.flush(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	i.counts.Files++
	i.counts.Bytes += body.n
	if i.Progress != nil {
		i.Progress(i.counts)
	}
	return nil
}

// absent tells a file that is not there.
func absent(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotFound
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // a reader's words are passed on as they are
}

func (i *Ingest) take(ctx context.Context, f cloudtrail.Found, bucket, key string) error {
	var r *kgo.Record
	switch {
	case f.Record != nil:
		r = &kgo.Record{Topic: i.Topic, Key: []byte(f.Record.ID()), Value: append([]byte(nil), f.Record.Raw...)}
	case f.Refused != nil:
		i.counts.Unreadable++
		r = i.letter(f.Refused.Reason, f.Refused.Message, f.Refused.Original, bucket, key, f.Number)
	default:
		return nil // control messages and digests hold no record
	}
	i.batch = append(i.batch, r)
	i.bytes += len(r.Value)
	if len(i.batch) < batchRecords && i.bytes < batchBytes {
		return nil
	}
	return i.flush(ctx)
}

// letter is the dead letter of a part of a file.
func (i *Ingest) letter(reason, message string, original []byte, bucket, key string, number int64) *kgo.Record {
	source := event.AppendString([]byte(`"file":`), "s3://"+bucket+"/"+key)
	source = fmt.Appendf(source, `,"line":%d`, max(1, number))
	d := event.DeadLetter{Reason: reason, Message: message, Source: source, Time: time.Now(), Original: original, Whole: batchBytes / 8}
	return &kgo.Record{Topic: i.DeadLetter, Key: fmt.Appendf(nil, "%s/%s", bucket, key), Value: d.Append(nil)}
}

// flush writes the batch, and returns once Kafka has it. A record that is larger than
// the topic takes goes to the dead letters alone.
func (i *Ingest) flush(ctx context.Context) error {
	letters := i.batch[:0:0]
	for _, result := range i.Kafka.ProduceSync(ctx, i.batch...) {
		switch r := result.Record; {
		case result.Err == nil && r.Topic == i.Topic:
			i.counts.Records++
		case result.Err == nil:
		case errors.Is(result.Err, kerr.MessageTooLarge) && r.Topic == i.Topic:
			i.counts.Oversized++
			letters = append(letters, i.oversized(r))
		default:
			return fmt.Errorf("write to topic %s: %w", r.Topic, result.Err)
		}
	}
	i.batch, i.bytes = i.batch[:0], 0
	if len(letters) == 0 {
		return nil
	}
	if err := i.Kafka.ProduceSync(ctx, letters...).FirstErr(); err != nil {
		return fmt.Errorf("write to topic %s: %w", i.DeadLetter, err)
	}
	return nil
}

// oversized is the dead letter of a record that the topic does not take; it has the
// record's beginning, with what would be a secret masked.
func (i *Ingest) oversized(r *kgo.Record) *kgo.Record {
	source := event.AppendString([]byte(`"id":`), string(r.Key))
	d := event.DeadLetter{
		Reason: "oversized", Message: fmt.Sprintf("the record has %d bytes, and topic %s does not take it: raise its max.message.bytes", len(r.Value), i.Topic),
		Source: source, Time: time.Now(), Original: cloudtrail.Masked(r.Value), Part: 64 << 10,
	}
	return &kgo.Record{Topic: i.DeadLetter, Key: r.Key, Value: d.Append(nil)}
}

// Client makes the client of S3 that Ingest asks. Buckets at another endpoint than
// AWS's are named in the path.
func Client(cfg aws.Config, endpoint string) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = &endpoint, true
		}
	})
}
