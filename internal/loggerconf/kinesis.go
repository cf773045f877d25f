package loggerconf

import (
	"fmt"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

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
