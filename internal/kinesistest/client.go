package kinesistest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// patience is how long a helper waits for a server before the test fails. The
// emulator is slow on a busy machine.
const patience = 2 * time.Minute

// Region and keys that any of the servers takes.
const (
	Region    = "us-east-1"
	AccessKey = "AKIDEXAMPLE"
	SecretKey = "secret"
)

// AWS is a configuration of the SDK for a server of this package.
func AWS(context.Context) (aws.Config, error) {
	return aws.Config{Region: Region, Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, "")}, nil
}

// Client is a client whose connections are closed with the test.
func Client(t testing.TB, endpoint string) *kinesis.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg, _ := AWS(t.Context()) // never fails
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		o.BaseEndpoint = &endpoint
		o.HTTPClient = &http.Client{Transport: transport}
	})
}

// unmade tells whether what was to be made is not there. The SDK asks again when an answer
// is lost, and is then told that it is.
func unmade(err error) bool {
	var refused smithy.APIError
	return err != nil && (!errors.As(err, &refused) || refused.ErrorCode() != "ResourceInUseException")
}

// CreateStream makes a stream and returns when it takes records.
func CreateStream(t testing.TB, endpoint, name string, shards int32) {
	t.Helper()
	client := Client(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); unmade(err) {
		t.Fatalf("create stream %s: %v", name, err)
	}
	for { // shards are listed before the stream takes records
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("stream %s does not become active: %v", name, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Read returns every record that is in the stream now, shard by shard and in order
// within each.
func Read(t testing.TB, endpoint, stream string) []types.Record {
	t.Helper()
	client := Client(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatalf("list the shards of %s: %v", stream, err)
	}
	var all []types.Record
	for _, s := range shards.Shards {
		start, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &stream, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatalf("read shard %s of %s: %v", *s.ShardId, stream, err)
		}
		for at := start.ShardIterator; at != nil; {
			out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at})
			if err != nil {
				t.Fatalf("read shard %s of %s: %v", *s.ShardId, stream, err)
			}
			all = append(all, out.Records...)
			if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return all
}
