package loggerconf

import (
	"fmt"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// Kinesis says where rows go when that is not Kafka. Topics, there, are streams.
type Kinesis struct {
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
func (k *Kinesis) Validate() []config.Problem {
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
func (k *Kinesis) Sink() kinesis.Config {
	return kinesis.Config{
		Connect: k.AWS.Load, Endpoint: k.AWS.Endpoint, Streams: k.Streams, Aggregate: k.Aggregate, Compression: k.Compression,
		RequestRecords: k.MaxRecords, RequestBytes: int(k.RequestBytes), RecordBytes: int(k.RecordBytes), AggregateBytes: int(k.AggregateBytes),
	}
}

// validateDestination checks what depends on which of Kafka and Kinesis it is.
func (c *Config) validateDestination(add func(bad bool, key, message string)) {
	k := c.Kinesis
	if k == nil {
		return
	}
	add(c.Kafka != nil, "kinesis", "is there beside kafka: rows go to one of them")
	add(c.BuiltInNames, "built_in_names", "needs kafka: Kinesis has no headers for the rows' names")
	add(c.MaxRecordBytes > k.RecordBytes, "max_record_bytes", fmt.Sprintf("must be at most kinesis.record_bytes, %s", k.RecordBytes))
	for key, topic := range map[string]string{"topics.results": c.Topics.Results, "topics.status": c.Topics.Status, "topics.deadletter": c.Topics.DeadLetter} {
		_, mapped := k.Streams[topic]
		add(topic != "" && !mapped && kinesis.CheckStream(topic) != nil, key, "is no name of a stream: name one in kinesis.streams")
	}
	for i, r := range c.Routes {
		_, mapped := k.Streams[r.Topic]
		add(r.Topic != "" && !mapped && kinesis.CheckStream(r.Topic) != nil, fmt.Sprintf("routes[%d].topic", i), "is no name of a stream: name one in kinesis.streams")
	}
}

// CheckFiles tells which files that the destination's section names cannot be used.
func (c *Config) CheckFiles() []config.Problem {
	if c.Kinesis != nil {
		return under("kinesis", c.Kinesis.AWS.Check())
	}
	return under("kafka", c.Kafka.Check())
}

func under(section string, found []config.Problem) []config.Problem {
	for i := range found {
		found[i].Key = section + "." + found[i].Key
	}
	return found
}
