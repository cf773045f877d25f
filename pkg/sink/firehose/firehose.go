// Package firehose delivers records to Amazon Data Firehose by PutRecordBatch: lines of
// JSON, many in one Firehose record. It is the sink of pkg/sink/kinesis over another
// service: order, pacing and what becomes of a refusal are told there.
//
// It must never be taken to promise the order in which Firehose delivers: it hands over
// a key's records one after the other, and what Firehose makes of that is its own.
package firehose

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsfirehose "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// The service's limits, before base64: they cannot be raised.
const (
	RequestRecords = 500
	RequestBytes   = 4 << 20
	RecordBytes    = 1000 << 10
	// defaultAggregateBytes lets a stream of the lowest quota, 1 MiB a second, take
	// several records a second.
	defaultAggregateBytes = 256 << 10
	longestName           = 64
)

// Config says where and how a Sink sends. The zero value of a field means its default.
type Config struct {
	// Connect gives the AWS configuration: region, credentials, HTTP client. It is
	// called by the first Write, and again after AWS refused the credentials.
	Connect func(ctx context.Context) (aws.Config, error)
	// Endpoint is the service's address where it is not AWS's own.
	Endpoint string
	// Streams names the Firehose stream of a record's Topic; a topic that is not in it
	// is itself the stream's name.
	Streams map[string]string
	// RequestRecords, RequestBytes and RecordBytes may be less than the service's
	// limits, which are their defaults. A record alone over RecordBytes, its line end
	// counted, is refused, permanently.
	RequestRecords, RequestBytes, RecordBytes int
	// AggregateBytes bounds a Firehose record of several lines: 256 KiB by default, at
	// most RecordBytes.
	AggregateBytes int
}

// Sink is a sink.Sink that writes to Firehose. A record's Value becomes a line; its Key
// is not sent and only keeps order; its Headers and Time are left out. A value that holds
// a line end itself is a Firehose record of its own.
type Sink struct{ *kinesis.Sink }

// New returns a Sink, or an error that names what in cfg cannot be. It does not touch
// the network: the first Write connects.
func New(cfg Config) (*Sink, error) {
	for limit, most := range map[*int]int{&cfg.RequestRecords: RequestRecords, &cfg.RequestBytes: RequestBytes, &cfg.RecordBytes: RecordBytes} {
		if *limit == 0 {
			*limit = most
		}
		if *limit > most {
			return nil, fmt.Errorf("firehose: a limit of %d is over the service's, %d", *limit, most)
		}
	}
	if cfg.AggregateBytes == 0 {
		cfg.AggregateBytes = min(defaultAggregateBytes, cfg.RecordBytes)
	}
	s, err := kinesis.New(kinesis.Config{
		Connect: cfg.Connect, Endpoint: cfg.Endpoint, Streams: cfg.Streams,
		Service: putRecordBatch, Name: "firehose", Keyless: true, Aggregate: kinesis.NDJSON,
		RequestRecords: cfg.RequestRecords, RequestBytes: cfg.RequestBytes, RecordBytes: cfg.RecordBytes, AggregateBytes: cfg.AggregateBytes,
	})
	if err != nil {
		return nil, err
	}
	return &Sink{s}, nil
}

// NeedsHand tells whether a failure of Write is one that somebody has to mend: a missing
// stream, refused credentials or permissions, a stream that takes only what another
// service puts. Any other heals by itself.
func NeedsHand(err error) bool { return kinesis.NeedsHand(err) }

// CheckStream tells what is wrong with a stream's name before the service would in words
// that blame the records.
func CheckStream(name string) error {
	if err := kinesis.CheckStream(name); err != nil || len(name) > longestName {
		return fmt.Errorf("%.200q %w: must be 1 to 64 letters, digits, dots, dashes or underscores", name, kinesis.ErrStreamName)
	}
	return nil
}

// putRecordBatch is kinesis.Put of Firehose.
func putRecordBatch(cfg aws.Config) kinesis.Put {
	client := awsfirehose.NewFromConfig(cfg)
	return func(ctx context.Context, stream string, entries []kinesis.Entry) ([]kinesis.Answer, error) {
		if err := CheckStream(stream); err != nil {
			return nil, err
		}
		in := &awsfirehose.PutRecordBatchInput{DeliveryStreamName: &stream, Records: make([]types.Record, len(entries))}
		for i := range entries {
			in.Records[i].Data = entries[i].Data
		}
		out, err := client.PutRecordBatch(ctx, in)
		if err != nil {
			return nil, err //nolint:wrapcheck // the SDK's words name the operation, and its code is looked for
		}
		answers := make([]kinesis.Answer, len(out.RequestResponses))
		for i, r := range out.RequestResponses {
			answers[i] = kinesis.Answer{Code: aws.ToString(r.ErrorCode), Message: aws.ToString(r.ErrorMessage)}
		}
		return answers, nil
	}
}
