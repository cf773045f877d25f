// Package s3 delivers records to a bucket of S3, or of what speaks its protocol: what of
// a topic is written at once becomes one object of lines, in gzip.
//
// An object is there whole or not at all, and is durable once Write returns. The names of
// what one Sink writes sort in the order in which it wrote them. The package must never
// keep anything back to make larger objects of it: what was acknowledged is in the bucket.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// Config says where objects go.
type Config struct {
	Client *awss3.Client
	Bucket string
	// Prefix is empty or ends with a slash.
	Prefix string
}

// Sink writes objects. It implements sink.Sink.
type Sink struct {
	cfg  Config
	now  func() time.Time
	last time.Time
	// tried is what was not acknowledged last, by topic: the same again takes its name,
	// and so the place of what may be there.
	tried map[string]object
	text  bytes.Buffer
	gzip  *gzip.Writer
}

// object is the name for a text of this hash.
type object struct {
	sum  [sha256.Size]byte
	name string
}

// New returns a Sink. The Client stays the caller's.
func New(cfg Config) *Sink {
	return &Sink{cfg: cfg, now: time.Now, tried: map[string]object{}, gzip: gzip.NewWriter(nil)}
}

// Write implements sink.Sink. A line end inside a value, which is white space in JSON,
// becomes a space. Key and headers are left out.
func (s *Sink) Write(ctx context.Context, batch []sink.Record) error {
	lines := map[string][]byte{}
	var topics []string
	for i := range batch {
		topic := batch[i].Topic
		if lines[topic] == nil {
			topics = append(topics, topic)
		}
		lines[topic] = sink.AppendLine(lines[topic], batch[i].Value)
	}
	for _, topic := range topics {
		if err := s.put(ctx, topic, lines[topic]); err != nil {
			return fmt.Errorf("bucket %s: %w", s.cfg.Bucket, err)
		}
	}
	return nil
}

func (s *Sink) put(ctx context.Context, topic string, lines []byte) error {
	name := s.name(topic, sha256.Sum256(lines))
	s.text.Reset()
	s.gzip.Reset(&s.text)
	_, err := s.gzip.Write(lines)
	if err = errors.Join(err, s.gzip.Close()); err != nil {
		return fmt.Errorf("gzip: %w", err)
	}
	_, err = s.cfg.Client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: &name, Body: bytes.NewReader(s.text.Bytes()), ContentType: aws.String("application/x-ndjson"), ContentEncoding: aws.String("gzip"),
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the operation
	}
	delete(s.tried, topic)
	return nil
}

// name is prefix/topic/year/month/day/hour/time-hash, by when it is first tried.
func (s *Sink) name(topic string, sum [sha256.Size]byte) string {
	if o, again := s.tried[topic]; again && o.sum == sum {
		return o.name
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	if !now.After(s.last) { // a clock that was set back
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	name := fmt.Sprintf("%s%s/%s/%s-%s.ndjson.gz", s.cfg.Prefix, strings.ReplaceAll(topic, "/", "_"), now.Format("2006/01/02/15"), now.Format("20060102T150405.000000Z"), hex.EncodeToString(sum[:8]))
	s.tried[topic] = object{sum, name}
	return name
}

// Close implements sink.Sink. There is nothing to close.
func (s *Sink) Close(context.Context) error { return nil }
