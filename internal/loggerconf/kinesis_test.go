package loggerconf_test

import (
	"strings"
	"testing"
)

func TestWithoutADestinationItIsKafka(t *testing.T) {
	c, err := load(t, "key: agent\n")
	if err != nil || c.Kinesis != nil || c.Kafka == nil || strings.Join(c.Kafka.Brokers, " ") != "127.0.0.1:9092" {
		t.Errorf("%+v, %v", c.Kafka, err)
	}
}

func TestKinesisComesFromTheFile(t *testing.T) {
	c, err := load(t, `
kinesis:
  region: eu-west-1
  profile: ship
  assume_role: {arn: "arn:aws:iam::123456789012:role/ship"}
  streams: {osquery.results: rows}
  aggregate: ndjson
  compression: gzip
  request_bytes: 2MiB
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka != nil || c.Kinesis == nil {
		t.Fatal("it is not Kinesis alone")
	}
	s := c.Kinesis.Sink()
	if s.Streams["osquery.results"] != "rows" || s.Aggregate != "ndjson" || s.Compression != "gzip" || s.RequestBytes != 2<<20 ||
		s.RequestRecords != 500 || s.RecordBytes != 1<<20 || s.AggregateBytes != 256<<10 {
		t.Errorf("%+v", s)
	}
	if aws := c.Kinesis.AWS; aws.Region != "eu-west-1" || aws.Profile != "ship" || aws.AssumeRole.SessionName != "stackjoin" {
		t.Errorf("%+v", aws)
	}
}

func TestAWrongKinesisSectionIsNamed(t *testing.T) {
	_, err := load(t, `
kafka: {brokers: [a:1]}
built_in_names: true
max_record_bytes: 2MiB
topics: {results: "no stream"}
routes:
- {query: a, topic: "a/b"}
kinesis:
  streams: {osquery.status: "what ever"}
  secret_key: s
  endpoint: kinesis
  max_records: 501
  record_bytes: 1MiB
  request_bytes: 11MiB
  aggregate_bytes: 2MiB
  aggregate: kcl
`)
	if err == nil {
		t.Fatal("a wrong file is taken")
	}
	for _, want := range []string{
		"kinesis: is there beside kafka",
		"built_in_names: needs kafka",
		"max_record_bytes: must be at most kinesis.record_bytes, 1MiB",
		"topics.results: is no name of a stream",
		"routes[0].topic: is no name of a stream",
		"kinesis.streams.osquery.status: must be 1 to 128",
		"kinesis.access_key: needed with secret_key",
		"kinesis.endpoint: must be an address",
		"kinesis.max_records: must be between 1 and 500",
		"kinesis.request_bytes: must be between record_bytes and 10MiB",
		"kinesis.aggregate_bytes: must be between 1KiB and record_bytes",
		`kinesis.aggregate: expected one of kpl, ndjson, none, got "kcl"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestFilesOfTheDestinationAreChecked(t *testing.T) {
	c, err := load(t, "kinesis: {region: r, ca_file: /nonexistent/ca.pem}\n")
	if err != nil {
		t.Fatal(err)
	}
	if found := c.CheckFiles(); len(found) != 1 || found[0].Key != "kinesis.ca_file" {
		t.Errorf("%v", found)
	}
	if c, err = load(t, "kafka: {tls: {enabled: true, ca_file: /nonexistent/ca.pem}}\n"); err != nil {
		t.Fatal(err)
	}
	if found := c.CheckFiles(); len(found) != 1 || found[0].Key != "kafka.tls.ca_file" {
		t.Errorf("%v", found)
	}
}
