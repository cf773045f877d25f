package main

import (
	"strings"
	"testing"
)

// What is about Kafka's topics does not go and look for a broker on this machine when
// the configuration is one for Kinesis.
func TestCommandsForKafkaRefuseAConfigurationForKinesis(t *testing.T) {
	for _, words := range [][]string{
		{"topics", "plan", "--config", "../../examples/enricher-kinesis.yaml"},
		{"reshard", "--from", "old", "--config", "../../examples/enricher-kinesis.yaml"},
		{"explain", "some/id/1/0", "--config", "../../examples/enricher-kinesis.yaml"},
	} {
		var out, err strings.Builder
		code := run(t.Context(), words, streams{in: strings.NewReader(""), out: &out, err: &err})
		if code == 0 || !strings.Contains(err.String(), "this command is for Kafka's topics") {
			t.Errorf("%v: %d, %s%s", words, code, out.String(), err.String())
		}
	}
}
