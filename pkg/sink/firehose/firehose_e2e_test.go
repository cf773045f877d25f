//go:build e2e

package firehose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/firehose"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

func TestConformanceOnMoto(t *testing.T) {
	m := kinesistest.NewFirehose(t)
	var topics atomic.Int32
	sinktest.Run(t, sinktest.Harness{
		Open: func(t testing.TB) sink.Sink { return sinktest.Lines{Sink: open(t, m.Endpoint(), firehose.Config{})} },
		Topic: func(testing.TB) string {
			name := fmt.Sprintf("rows-%d", topics.Add(1))
			m.Create(t, name, true)
			return name
		},
		Read: func(t testing.TB, topic string) []sink.Record {
			return sinktest.ReadLines(t, topic, bytes.Join(m.Read(topic), nil))
		},
		Oversize: 2 << 20, Stop: m.Stop, Start: m.Start, NoHeaders: true,
	})
}

// Objects in S3 are whole lines, whichever way they are put together.
func TestLinesComeToS3(t *testing.T) {
	m := kinesistest.NewFirehose(t)
	m.Create(t, "osquery.results", false)
	const hosts, n = 3, 3_000
	write(t, open(t, m.Endpoint(), firehose.Config{AggregateBytes: 8 << 10}), rows("osquery.results", hosts, n))
	client, name := kinesistest.S3Client(t, m.S3), kinesistest.FirehoseBucket
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &name, Prefix: aws.String("osquery.results/")})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, o := range list.Contents {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &name, Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if !json.Valid(line) || line[len(line)-1] != '\n' {
				t.Fatalf("%q", line)
			}
			seen[strings.TrimSpace(string(line))]++
		}
	}
	if len(seen) != n || len(list.Contents) < 2 {
		t.Errorf("%d rows in %d objects", len(seen), len(list.Contents))
	}
}
