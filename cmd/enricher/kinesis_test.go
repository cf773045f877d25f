package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

// A process that is asked to end while it starts, which may wait for what is away, did
// nothing wrong.
func TestToBeStoppedAtTheStartIsNoFailure(t *testing.T) {
	hangs := make(chan struct{})
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer away.Close()
	defer close(hangs)
	config := write(t, "enricher.yaml", fmt.Sprintf(`kinesis: {endpoint: %[1]s, region: us-east-1, access_key: AKIDEXAMPLE, secret_key: secret, leases: {endpoint: %[1]s}}
group: joins
delivery: at_least_once
inputs: {results: [rows]}
`, away.URL))
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, stop)
	var out, err strings.Builder
	if code := run(ctx, []string{"run", "--config", config}, streams{in: strings.NewReader(""), out: &out, err: &err}); code != 0 || !strings.Contains(err.String(), "stopped as asked") {
		t.Errorf("%d: %s", code, err.String())
	}
}
