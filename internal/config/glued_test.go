package config

import (
	"strings"
	"testing"
)

// What people write for brokers, in every style.
func TestAHostWithAPortIsOneText(t *testing.T) {
	type kafka struct {
		Brokers []string `yaml:"brokers" doc:"x"`
		ID      string   `yaml:"id" doc:"x"`
	}
	type file struct {
		Kafka kafka `yaml:"kafka"`
	}
	for _, text := range []string{
		"kafka: {brokers: [127.0.0.1:9092, kafka:9093]}\n",
		"kafka: {brokers: [\"127.0.0.1:9092\", kafka:9093], id: a}\n",
		"kafka:\n  brokers: [127.0.0.1:9092, kafka:9093]\n",
		"kafka:\n  brokers:\n    - 127.0.0.1:9092\n    - kafka:9093\n",
		"{kafka: {id: a, brokers: [127.0.0.1:9092, kafka:9093]}}\n",
	} {
		var f file
		if err := Parse("f", []byte(text), &f, nil); err != nil || strings.Join(f.Kafka.Brokers, " ") != "127.0.0.1:9092 kafka:9093" {
			t.Errorf("%q: %q, %v", text, f.Kafka.Brokers, err)
		}
	}
	var f file
	if err := Parse("f", []byte("kafka: {brokers: [{a: 1}]}\n"), &f, nil); err == nil {
		t.Error("a section was taken for a text")
	}
	if err := Parse("f", []byte("kafka: {brokers: [a: 1]}\n"), &f, nil); err == nil {
		t.Error("a pair was taken for a text")
	}
}
