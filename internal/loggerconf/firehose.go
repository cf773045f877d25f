package loggerconf

import (
	"fmt"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/sink/firehose"
)

// Firehose says how to reach Amazon Data Firehose and how rows are written to it. Topics,
// there, are streams.
type Firehose struct {
	AWS            awsconn.Config    `yaml:",inline"`
	Streams        map[string]string `yaml:"streams" doc:"Firehose streams by topic, where their names differ; several topics may share one."`
	MaxRecords     int               `yaml:"max_records" default:"500" doc:"Most Firehose records of one request."`
	RequestBytes   config.Bytes      `yaml:"request_bytes" default:"4MiB" doc:"Largest request. Less helps on slow links."`
	RecordBytes    config.Bytes      `yaml:"record_bytes" default:"1000KiB" doc:"Largest Firehose record."`
	AggregateBytes config.Bytes      `yaml:"aggregate_bytes" default:"256KiB" doc:"Size up to which rows share a Firehose record, each on a line. AWS charges for each record as for a multiple of 5 KiB."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (f *Firehose) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	for topic, stream := range f.Streams {
		add(firehose.CheckStream(stream) != nil, "streams."+topic, "must be 1 to 64 letters, digits, dots, dashes or underscores")
	}
	add(f.MaxRecords < 1 || f.MaxRecords > firehose.RequestRecords, "max_records", "must be between 1 and 500")
	add(f.RecordBytes < 16<<10 || f.RecordBytes > firehose.RecordBytes, "record_bytes", "must be between 16KiB and 1000KiB")
	add(f.RequestBytes < f.RecordBytes || f.RequestBytes > firehose.RequestBytes, "request_bytes", "must be between record_bytes and 4MiB")
	add(f.AggregateBytes < 1<<10 || f.AggregateBytes > f.RecordBytes, "aggregate_bytes", "must be between 1KiB and record_bytes")
	return wrong
}

// Sink is the sink's configuration.
func (f *Firehose) Sink() firehose.Config {
	return firehose.Config{
		Connect: f.AWS.Load, Endpoint: f.AWS.Endpoint, Streams: f.Streams,
		RequestRecords: f.MaxRecords, RequestBytes: int(f.RequestBytes), RecordBytes: int(f.RecordBytes), AggregateBytes: int(f.AggregateBytes),
	}
}

func (c *Config) validateFirehose(add func(bad bool, key, message string)) {
	f := c.Firehose
	if f == nil {
		return
	}
	add(c.Kafka != nil || c.Kinesis != nil, "firehose", "is there beside kafka or kinesis: rows go to one of them")
	add(c.BuiltInNames, "built_in_names", "needs kafka: Firehose has no headers for the rows' names")
	add(c.MaxRecordBytes >= f.RecordBytes, "max_record_bytes", fmt.Sprintf("must be less than firehose.record_bytes, %s: a line end is added", f.RecordBytes))
	for key, topic := range c.topicsByKey() {
		_, mapped := f.Streams[topic]
		add(topic != "" && !mapped && firehose.CheckStream(topic) != nil, key, "is no name of a Firehose stream: name one in firehose.streams")
	}
}
