package loggerconf

import (
	"fmt"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// validateDestination checks what depends on which of Kafka, Kinesis and Firehose it is.
func (c *Config) validateDestination(add func(bad bool, key, message string)) {
	c.validateFirehose(add)
	k := c.Kinesis
	if k == nil {
		return
	}
	add(c.Kafka != nil, "kinesis", "is there beside kafka: rows go to one of them")
	add(c.BuiltInNames, "built_in_names", "needs kafka: Kinesis has no headers for the rows' names")
	add(c.MaxRecordBytes > k.RecordBytes, "max_record_bytes", fmt.Sprintf("must be at most kinesis.record_bytes, %s", k.RecordBytes))
	for key, topic := range c.topicsByKey() {
		_, mapped := k.Streams[topic]
		add(topic != "" && !mapped && kinesis.CheckStream(topic) != nil, key, "is no name of a stream: name one in kinesis.streams")
	}
}

// topicsByKey are the topics that rows may go to, by where the file names them.
func (c *Config) topicsByKey() map[string]string {
	all := map[string]string{"topics.results": c.Topics.Results, "topics.status": c.Topics.Status, "topics.deadletter": c.Topics.DeadLetter}
	for i, r := range c.Routes {
		all[fmt.Sprintf("routes[%d].topic", i)] = r.Topic
	}
	return all
}

// CheckFiles tells which files that the destination's section names cannot be used.
func (c *Config) CheckFiles() []config.Problem {
	if c.Kinesis != nil {
		return under("kinesis", c.Kinesis.AWS.Check())
	}
	if c.Firehose != nil {
		return under("firehose", c.Firehose.AWS.Check())
	}
	return under("kafka", c.Kafka.Check())
}

func under(section string, found []config.Problem) []config.Problem {
	for i := range found {
		found[i].Key = section + "." + found[i].Key
	}
	return found
}
