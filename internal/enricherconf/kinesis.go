package enricherconf

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kinesisconn"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// Kinesis says how a stream is read in the place of Kafka's topics, and how outputs are
// written to streams.
type Kinesis struct {
	kinesisconn.Config `yaml:",inline"`
	Leases             Leases          `yaml:"leases"`
	Start              string          `yaml:"start" default:"trim_horizon" enum:"trim_horizon|latest" doc:"Where reading begins at the first start of all: with what the stream still has, or with what comes from then on."`
	Poll               config.Duration `yaml:"poll" default:"1s" doc:"Time between two looks at a shard while nothing comes. A shard answers five a second, of all who read it."`
	FanOut             bool            `yaml:"fan_out" default:"false" doc:"Enhanced fan-out: the group registers a consumer of its name with the stream, whose records are pushed, 2 MiB a second and shard that no other consumer shares. AWS charges for it by the hour and shard until it is deregistered, which the enricher never does."`
	Commit             config.Duration `yaml:"commit" default:"1s" doc:"How long a batch of a shard waits for more. Each is an object in the journal and a write to the lease."`
	Journal            string          `yaml:"journal" doc:"Where the shards' state is kept: s3://BUCKET/PREFIX, or a folder that all processes share. Without it a shard that changes hands is joined with nothing known, and says so (state_partial)."`
	JournalEndpoint    string          `yaml:"journal_endpoint" doc:"Address of S3; AWS's own when empty."`
}

// Leases is how processes divide the shards.
type Leases struct {
	Table    string          `yaml:"table" doc:"DynamoDB table, of the shape that Amazon's Kinesis Client Library gives its own; group when empty. It is created where it is missing."`
	Period   config.Duration `yaml:"period" default:"10s" doc:"How long a process may stand still before others take its shards."`
	Endpoint string          `yaml:"endpoint" doc:"Address of DynamoDB; AWS's own when empty."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (k *Kinesis) Validate() []config.Problem {
	wrong := k.Config.Validate()
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	add(k.Leases.Period.Std() < minPeriod, "leases.period", "must be at least 1s")
	add(k.Poll <= 0, "poll", "must be more than 0")
	add(k.Commit <= 0, "commit", "must be more than 0")
	bucket, _, inS3 := k.Bucket()
	add(inS3 && bucket == "", "journal", "must name a bucket, as in s3://bucket/prefix")
	add(k.Journal != "" && !inS3 && !filepath.IsAbs(k.Journal), "journal", "must be s3://bucket/prefix or the whole path of a folder")
	return wrong
}

// minPeriod leaves room for a few renewals, each of some round trips.
const minPeriod = time.Second

// Bucket is where the journal is in S3; the prefix is empty or ends with a slash.
func (k *Kinesis) Bucket() (name, prefix string, ok bool) { return bucket(k.Journal) }

// Bucket is where output goes in S3, likewise.
func (o *Outputs) Bucket() (name, prefix string, ok bool) { return bucket(o.Dir) }

func bucket(place string) (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(place, "s3://")
	name, prefix, _ = strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return name, prefix, ok
}

// LeaseTable is the name of the table.
func (c *Config) LeaseTable() string {
	if c.Kinesis.Leases.Table != "" {
		return c.Kinesis.Leases.Table
	}
	return c.Group
}

// tableName tells a name that DynamoDB takes, with room for what RouteTable adds of most
// streams.
func tableName(name string) bool {
	return len(name) >= 3 && len(name) <= 200 && kinesis.CheckStream(name[:min(len(name), 128)]) == nil && kinesis.CheckStream(name[max(0, len(name)-128):]) == nil
}

// RouteTable is the lease table of a stream that stage 1 takes.
func (c *Config) RouteTable(stream string) string { return c.LeaseTable() + ".route." + stream }

// sources are the names under which inputs are read: on Kinesis the streams'.
func (c *Config) sources(topics []string) []string {
	if c.Kinesis == nil {
		return topics
	}
	streams := make([]string, len(topics))
	for i, topic := range topics {
		streams[i] = c.Kinesis.Stream(topic)
	}
	return streams
}

// Destination is where output goes: kafka, kinesis, files or s3.
func (c *Config) Destination() string {
	switch {
	case c.Outputs.To != "":
		return c.Outputs.To
	case c.Kinesis != nil:
		return "kinesis"
	}
	return "kafka"
}

func (c *Config) validateKinesis(add func(bad bool, key, format string, args ...any)) {
	to := c.Destination()
	add(to == "files" && c.Outputs.Dir == "", "outputs.dir", "needed with to: files")
	place, _, inS3 := c.Outputs.Bucket()
	add(to == "s3" && place == "", "outputs.dir", "must name a bucket with to: s3, as in s3://bucket/prefix")
	add(to == "files" && inS3, "outputs.dir", "is in S3: that is to: s3")
	add(to != "files" && to != "s3" && c.Outputs.Dir != "", "outputs.dir", "is for to: files and to: s3")
	add(to != "s3" && c.Outputs.Endpoint != "", "outputs.endpoint", "is for to: s3")
	k := c.Kinesis
	if k == nil {
		add(c.Outputs.To != "" && c.Outputs.To != "kafka", "outputs.to", "needs kinesis: what is read from Kafka goes to Kafka")
		return
	}
	add(c.Delivery != "at_least_once", "delivery", "must be at_least_once: Kinesis has no transactions")
	add(len(c.Inputs.Results) > 1, "inputs.results", "must name one stream: rows of one host in two streams are in no order")
	routed := len(c.Inputs.Routed()) > 0
	add(routed && kinesis.CheckStream(k.Stream(c.FactsTopic())) != nil, "group", "with inputs that stage 1 takes, %s must be the name of a stream: name one in kinesis.streams", c.FactsTopic())
	read := map[string]bool{}
	for _, input := range []struct {
		key    string
		topics []string
	}{{"results", c.Inputs.Results}, {"sensor", c.Inputs.Sensor}, {"cloudtrail", c.Inputs.CloudTrail}, {"rekey", c.Inputs.Rekey}} {
		for i, topic := range input.topics {
			key, stream := fmt.Sprintf("inputs.%s[%d]", input.key, i), k.Stream(topic)
			add(kinesis.CheckStream(stream) != nil, key, "is no name of a stream: name one in kinesis.streams")
			add(read[stream], key, "the stream %s is an input already", stream)
			read[stream] = true
		}
	}
	add(routed && read[k.Stream(c.FactsTopic())], "kinesis.streams", "the stream of %s is also an input", c.FactsTopic())
	add(!tableName(c.LeaseTable()), "kinesis.leases.table", "must be 3 to 200 letters, digits, dots, dashes or underscores, or group be: it is DynamoDB's")
	add(k.FanOut && kinesis.CheckStream(c.Group) != nil, "kinesis.fan_out", "needs a group of 1 to 128 letters, digits, dots, dashes or underscores: it is the consumer's name")
	if to != "kinesis" {
		return
	}
	add(c.Outputs.MaxRecordBytes > k.RecordBytes, "outputs.max_record_bytes", "must be at most kinesis.record_bytes, %s", k.RecordBytes)
	outputs := map[string]string{"enriched": c.Outputs.Enriched, "findings": c.Outputs.Findings, "deadletter": c.Outputs.DeadLetter}
	if len(c.Inputs.CloudTrail) > 0 {
		outputs["cloudtrail"] = c.Outputs.CloudTrail
	}
	for key, topic := range outputs {
		add(topic != "" && kinesis.CheckStream(k.Stream(topic)) != nil, "outputs."+key, "is no name of a stream: name one in kinesis.streams")
		add(read[k.Stream(topic)], "outputs."+key, "is also an input: the enricher would read what it writes")
	}
}
