package loggerconf_test

import (
	"strings"
	"testing"
)

func TestFirehoseComesFromTheFile(t *testing.T) {
	c, err := load(t, "firehose: {region: eu-west-1, streams: {osquery.results: lake}, request_bytes: 2MiB}\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka != nil || c.Kinesis != nil || c.Firehose == nil {
		t.Fatal("it is not Firehose alone")
	}
	s := c.Firehose.Sink()
	if s.Streams["osquery.results"] != "lake" || s.RequestBytes != 2<<20 || s.RequestRecords != 500 || s.RecordBytes != 1000<<10 || s.AggregateBytes != 256<<10 {
		t.Errorf("%+v", s)
	}
}

func TestAWrongFirehoseSectionIsNamed(t *testing.T) {
	long := strings.Repeat("a", 65)
	_, err := load(t, `
kinesis: {region: r}
built_in_names: true
max_record_bytes: 1000KiB
topics: {results: "`+long+`"}
routes:
- {query: a, topic: "a/b"}
firehose:
  streams: {osquery.status: "`+long+`"}
  max_records: 501
  record_bytes: 1MiB
  request_bytes: 5MiB
  aggregate_bytes: 2MiB
  compression: gzip
`)
	if err == nil {
		t.Fatal("a wrong file is taken")
	}
	for _, want := range []string{
		"firehose: is there beside kafka or kinesis",
		"built_in_names: needs kafka",
		"topics.results: is no name of a Firehose stream",
		"routes[0].topic: is no name of a Firehose stream",
		"firehose.streams.osquery.status: must be 1 to 64",
		"firehose.max_records: must be between 1 and 500",
		"firehose.record_bytes: must be between 16KiB and 1000KiB",
		"firehose.request_bytes: must be between record_bytes and 4MiB",
		"firehose.aggregate_bytes: must be between 1KiB and record_bytes",
		"firehose.compression",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if _, err := load(t, "max_record_bytes: 1000KiB\nfirehose: {region: r}\n"); err == nil || !strings.Contains(err.Error(), "max_record_bytes: must be less than firehose.record_bytes") {
		t.Error(err)
	}
}
