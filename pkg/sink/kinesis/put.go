package kinesis

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Put sends entries to a stream in one request, and returns what became of each, in
// their order. Its error tells that nothing is known of any.
type Put func(ctx context.Context, stream string, entries []Entry) ([]Answer, error)

// Entry is one record of a service, on its way.
type Entry struct {
	PartitionKey string
	Data         []byte
}

// Answer is what a service said of an entry: where it put it, if it tells, or the code
// and words of its refusal.
type Answer struct{ Shard, Code, Message string }

// putRecords is Put of Kinesis Data Streams.
func putRecords(cfg aws.Config) Put {
	client := awskinesis.NewFromConfig(cfg)
	return func(ctx context.Context, stream string, entries []Entry) ([]Answer, error) {
		in := &awskinesis.PutRecordsInput{StreamName: &stream, Records: make([]types.PutRecordsRequestEntry, len(entries))}
		for i := range entries {
			in.Records[i] = types.PutRecordsRequestEntry{PartitionKey: &entries[i].PartitionKey, Data: notNil(entries[i].Data)}
		}
		out, err := client.PutRecords(ctx, in)
		if err != nil {
			return nil, err //nolint:wrapcheck // the SDK's words name the operation, and its code is looked for
		}
		answers := make([]Answer, len(out.Records))
		for i, r := range out.Records {
			answers[i] = Answer{aws.ToString(r.ShardId), aws.ToString(r.ErrorCode), aws.ToString(r.ErrorMessage)}
		}
		return answers, nil
	}
}

// notNil is for a record without bytes: the SDK would leave nil out of the request.
func notNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}
