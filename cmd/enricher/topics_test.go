package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

func topicsConfig(t *testing.T, broker string) string {
	t.Helper()
	return write(t, "enricher.yaml", "kafka: {brokers: ["+broker+"]}\ngroup: g\ntopics: {partitions: 3, retention: 24h}\n")
}

func TestTopicsPlanTellsByItsExitCodeWhetherThereIsSomethingToDo(t *testing.T) {
	broker := kafkatest.Fake(t)
	config := topicsConfig(t, broker.Addrs()[0])
	out, _, code := command(t, "", "topics", "plan", "--config", config)
	if code != 2 || strings.Count(out, "\n") != 6 || !strings.Contains(out, "+ g.state: 3 partitions") {
		t.Errorf("exit code %d, want 2:\n%s", code, out)
	}
	if out, stderr, code := command(t, "", "topics", "apply", "--config", config); code != 0 {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	for range 2 {
		if out, stderr, code := command(t, "", "topics", "plan", "--config", config); code != 0 {
			t.Errorf("after apply: exit code %d:\n%s%s", code, out, stderr)
		}
	}
}

func TestTopicsApplyRefusesAndSaysWhy(t *testing.T) {
	broker := kafkatest.Fake(t)
	config := topicsConfig(t, broker.Addrs()[0])
	kafkatest.CreateTopic(t, broker.Addrs(), "osquery.results", 2, nil)
	record := &kgo.Record{Topic: "osquery.results", Value: []byte("v")}
	if err := kafkatest.Client(t, broker.Addrs()).ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := command(t, "", "topics", "apply", "--config", config)
	if code != 1 || !strings.Contains(out, "! osquery.results: partitions 2 -> 3 is refused") || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
}

func TestTopicsPlanAsJSON(t *testing.T) {
	broker := kafkatest.Fake(t)
	config := topicsConfig(t, broker.Addrs()[0])
	for _, want := range []int{6, 0} {
		out, stderr, _ := command(t, "", "topics", "plan", "--json", "--config", config)
		var plan struct {
			Changes []struct {
				Topic  string
				Create struct {
					Partitions int
					Settings   map[string]string
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &plan); err != nil || plan.Changes == nil || len(plan.Changes) != want {
			t.Fatalf("%v: %d changes, want %d:\n%s%s", err, len(plan.Changes), want, out, stderr)
		}
		if want > 0 && (plan.Changes[0].Create.Partitions != 3 || plan.Changes[0].Create.Settings["retention.ms"] != "86400000") {
			t.Errorf("first change %+v", plan.Changes[0])
		}
		command(t, "", "topics", "apply", "--config", config)
	}
}

func TestTopicsPlanWritesRightsWithoutABroker(t *testing.T) {
	config := topicsConfig(t, "127.0.0.1:1")
	out, stderr, code := command(t, "", "topics", "plan", "--acls", "User:enricher", "--config", config)
	if code != 0 || !strings.Contains(out, "kafka-acls.sh --bootstrap-server 127.0.0.1:1 --add --allow-principal User:enricher --operation Read --topic osquery.results\n") {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	out, _, code = command(t, "", "topics", "plan", "--json", "--acls", "User:enricher", "--config", config)
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
