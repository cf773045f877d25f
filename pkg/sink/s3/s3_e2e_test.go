//go:build e2e

package s3_test

import (
	"fmt"
	"io"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

func TestConformanceOnMotosS3(t *testing.T) {
	address := kinesistest.S3(t)
	client := kinesistest.S3Client(t, address)
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	front := kinesistest.NewFront(t, httputil.NewSingleHostReverseProxy(to))
	read := func(t testing.TB, topic string) (text []byte) {
		t.Helper()
		list, err := client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: aws.String("out/" + topic + "/")})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Contents {
			out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			object, err := io.ReadAll(out.Body)
			_ = out.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, unzipped(t, object)...)
		}
		return text
	}
	var topics atomic.Int32
	sinktest.Run(t, sinktest.Harness{
		Open:  func(t testing.TB) sink.Sink { return sinktest.Lines{Sink: open(t, front.Endpoint())} },
		Topic: func(testing.TB) string { return fmt.Sprintf("rows-%d", topics.Add(1)) },
		Read:  func(t testing.TB, topic string) []sink.Record { return sinktest.ReadLines(t, topic, read(t, topic)) },
		Stop:  front.Stop, Start: front.Start, NoHeaders: true,
	})
}
