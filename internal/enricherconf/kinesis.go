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
func (k *Kinesis) Bucket() (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(k.Journal, "s3://")
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

// Destination is where output goes: kafka, kinesis or files.
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
	add(to != "files" && c.Outputs.Dir != "", "outputs.dir", "is for to: files")
	k := c.Kinesis
	if k == nil {
		add(c.Outputs.To != "" && c.Outputs.To != "kafka", "outputs.to", "needs kinesis: what is read from Kafka goes to Kafka")
		return
	}
	add(c.Delivery != "at_least_once", "delivery", "must be at_least_once: Kinesis has no transactions")
	add(len(c.Inputs.Results) > 1, "inputs.results", "must name one stream: rows of one host in two streams are in no order")
	for key, topics := range map[string][]string{"sensor": c.Inputs.Sensor, "cloudtrail": c.Inputs.CloudTrail, "rekey": c.Inputs.Rekey} {
		add(len(topics) > 0, "inputs."+key, "needs kafka: only rows are read from Kinesis")
	}
	add(k.FanOut && kinesis.CheckStream(c.Group) != nil, "kinesis.fan_out", "needs a group of 1 to 128 letters, digits, dots, dashes or underscores: it is the consumer's name")
	for i, topic := range c.Inputs.Results {
		add(kinesis.CheckStream(k.Stream(topic)) != nil, fmt.Sprintf("inputs.results[%d]", i), "is no name of a stream: name one in kinesis.streams")
	}
	if to != "kinesis" {
		return
	}
	add(c.Outputs.MaxRecordBytes > k.RecordBytes, "outputs.max_record_bytes", "must be at most kinesis.record_bytes, %s", k.RecordBytes)
	for key, topic := range map[string]string{"enriched": c.Outputs.Enriched, "findings": c.Outputs.Findings, "deadletter": c.Outputs.DeadLetter} {
		add(topic != "" && kinesis.CheckStream(k.Stream(topic)) != nil, "outputs."+key, "is no name of a stream: name one in kinesis.streams")
		for _, in := range c.Inputs.Results {
			add(k.Stream(topic) == k.Stream(in), "outputs."+key, "is also an input: the enricher would read what it writes")
		}
	}
}
