package enricherconf_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
)

func TestKinesisComesFromTheFile(t *testing.T) {
	c, err := load(t, `
group: joins
delivery: at_least_once
inputs: {results: [osquery.results]}
kinesis:
  region: eu-west-1
  streams: {osquery.results: rows, osquery.enriched: told}
  leases: {period: 20s}
  start: latest
  fan_out: true
  journal: s3://bucket/a/b/
`)
	if err != nil {
		t.Fatal(err)
	}
	k := c.Kinesis
	bucket, prefix, inS3 := k.Bucket()
	if k.Stream("osquery.results") != "rows" || k.Stream("other") != "other" || c.LeaseTable() != "joins" || k.Leases.Period.Std() != 20*time.Second ||
		k.Start != "latest" || !k.FanOut || bucket != "bucket" || prefix != "a/b/" || !inS3 || c.Destination() != "kinesis" || !c.Waiting().Keep {
		t.Errorf("%+v", k)
	}
	if k.AWS.Region != "eu-west-1" || k.Poll.Std() != time.Second || k.Commit.Std() != time.Second || k.Aggregate != "kpl" {
		t.Errorf("%+v", k)
	}
}

func TestTheExampleIsRight(t *testing.T) {
	c, err := enricherconf.Load("../../examples/enricher-kinesis.yaml")
	if err != nil || c.Kinesis == nil || c.Destination() != "kinesis" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWithoutKinesisNothingOfItIsTaken(t *testing.T) {
	c, err := load(t, "group: g\n")
	if err != nil || c.Kinesis != nil || c.Destination() != "kafka" || c.Waiting().Keep {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAWrongKinesisIsRefusedWithKey(t *testing.T) {
	const good = "delivery: at_least_once\nkinesis: {region: r}\n"
	if _, err := load(t, good); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"kinesis: {region: r}\n":                                    "delivery: must be at_least_once: Kinesis has no transactions",
		good + "inputs: {results: [a, b]}\n":                        "inputs.results: must name one stream",
		good + "inputs: {results: [a b]}\n":                         "inputs.results[0]: is no name of a stream",
		good + "inputs: {sensor: [a b]}\n":                          "inputs.sensor[0]: is no name of a stream",
		"group: g\ndelivery: at_least_once\nkinesis: {region: r}\n": "kinesis.leases.table: must be 3 to 200 letters",
		good + "inputs: {results: [r], sensor: [zeek], cloudtrail: [t]}\noutputs: {cloudtrail: zeek}\n":       "outputs.cloudtrail: is also an input",
		"delivery: at_least_once\nkinesis: {streams: {zeek: osquery.results}}\ninputs: {sensor: [zeek]}\n":    "inputs.sensor[0]: the stream osquery.results is an input already",
		"delivery: at_least_once\nkinesis: {streams: {stackjoin-enricher.facts: z}}\ninputs: {sensor: [z]}\n": "kinesis.streams: the stream of stackjoin-enricher.facts is also an input",
		"group: a b\ndelivery: at_least_once\nkinesis: {fan_out: true, leases: {table: t}}\n":                 "kinesis.fan_out: needs a group of 1 to 128 letters",
		good + "outputs: {to: files}\n":                                                      "outputs.dir: needed with to: files",
		good + "outputs: {dir: /x}\n":                                                        "outputs.dir: is for to: files and to: s3",
		good + "outputs: {to: s3, dir: /x}\n":                                                "outputs.dir: must name a bucket with to: s3",
		good + "outputs: {to: s3}\n":                                                         "outputs.dir: must name a bucket with to: s3",
		good + "outputs: {to: files, dir: s3://b}\n":                                         "outputs.dir: is in S3: that is to: s3",
		good + "outputs: {endpoint: http://x}\n":                                             "outputs.endpoint: is for to: s3",
		good + "outputs: {to: disk}\n":                                                       "outputs.to: expected one of kinesis, kafka, files, s3",
		good + "outputs: {max_record_bytes: 2MiB}\n":                                         "outputs.max_record_bytes: must be at most kinesis.record_bytes",
		"outputs: {to: files, dir: /x}\n":                                                    "outputs.to: needs kinesis",
		"delivery: at_least_once\nkinesis: {journal: s3://}\n":                               "kinesis.journal: must name a bucket",
		"delivery: at_least_once\nkinesis: {journal: state}\n":                               "kinesis.journal: must be s3://bucket/prefix or the whole path",
		"delivery: at_least_once\nkinesis: {leases: {period: 10ms}}\n":                       "kinesis.leases.period: must be at least 1s",
		"delivery: at_least_once\nkinesis: {poll: 0s}\n":                                     "kinesis.poll: must be more than 0",
		"delivery: at_least_once\nkinesis: {max_records: 0}\n":                               "kinesis.max_records: must be between 1 and 500",
		"delivery: at_least_once\nkinesis: {streams: {osquery.enriched: osquery.results}}\n": "outputs.enriched: is also an input",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
