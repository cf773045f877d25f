// Package kinesisconn is the part of a configuration that says how to reach Kinesis and
// how records are written to it, for every program here that does.
//
// It must not touch the network, and says nothing of what is written.
package kinesisconn

import (
	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// Config says how to reach Kinesis and how records are written. Topics, there, are
// streams.
type Config struct {
	AWS            awsconn.Config    `yaml:",inline"`
	Streams        map[string]string `yaml:"streams" doc:"Streams by topic, where their names differ; several topics may share one."`
	Aggregate      kinesis.Aggregate `yaml:"aggregate" default:"kpl" enum:"kpl|ndjson|none" doc:"How rows share a Kinesis record: in the format of Amazon's Kinesis Producer Library, whose consumers take it apart; as lines of JSON; or not at all. none gives up the order of a host's rows, since a request has several of them then and Kinesis promises no order within one."`
	Compression    string            `yaml:"compression" default:"none" enum:"none|gzip|zstd" doc:"Compression of each Kinesis record, whole. Consumers of KPL records that are not told do not expect one."`
	MaxRecords     int               `yaml:"max_records" default:"500" doc:"Most Kinesis records of one request."`
	RequestBytes   config.Bytes      `yaml:"request_bytes" default:"5MiB" doc:"Largest request, partition keys counted. Less helps on slow links."`
	RecordBytes    config.Bytes      `yaml:"record_bytes" default:"1MiB" doc:"Largest Kinesis record with its partition key. The service takes up to 10MiB where the stream has been set to."`
	AggregateBytes config.Bytes      `yaml:"aggregate_bytes" default:"256KiB" doc:"Size up to which rows share a Kinesis record, before compression. A shard takes 1 MiB a second, and a record whole or not at all."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (k *Config) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	for topic, stream := range k.Streams {
		add(kinesis.CheckStream(stream) != nil, "streams."+topic, "must be 1 to 128 letters, digits, dots, dashes or underscores")
	}
	add(k.MaxRecords < 1 || k.MaxRecords > 500, "max_records", "must be between 1 and 500")
	add(k.RecordBytes < 16<<10 || k.RecordBytes > 10<<20, "record_bytes", "must be between 16KiB and 10MiB")
	add(k.RequestBytes < k.RecordBytes || k.RequestBytes > 10<<20, "request_bytes", "must be between record_bytes and 10MiB")
	add(k.AggregateBytes < 1<<10 || k.AggregateBytes > k.RecordBytes, "aggregate_bytes", "must be between 1KiB and record_bytes")
	return wrong
}

// Sink is the sink's configuration.
func (k *Config) Sink() kinesis.Config {
	return kinesis.Config{
		Connect: k.AWS.Load, Endpoint: k.AWS.Endpoint, Streams: k.Streams, Aggregate: k.Aggregate, Compression: k.Compression,
		RequestRecords: k.MaxRecords, RequestBytes: int(k.RequestBytes), RecordBytes: int(k.RecordBytes), AggregateBytes: int(k.AggregateBytes),
	}
}

// Stream is the stream of a topic.
func (k *Config) Stream(topic string) string {
	if stream, mapped := k.Streams[topic]; mapped {
		return stream
	}
	return topic
}
