package main

import (
	"strings"
	"testing"
	"time"
)

func TestIngestRefusesInWords(t *testing.T) {
	config := write(t, "enricher.yaml", "kafka: {brokers: 127.0.0.1:1}\n")
	for words, args := range map[string][]string{
		"say where from":            {"--config", config},
		"is not like 90d":           {"--config", config, "--s3", "s3://b/", "--since", "last week"},
		"is not like s3://my-trail": {"--config", config, "--s3", "https://b/"},
		"no such file":              {"--config", config + "x", "--queue", "https://q"},
	} {
		_, stderr, code := command(t, "", append([]string{"ingest", "cloudtrail"}, args...)...)
		if code != 1 || !strings.Contains(stderr, words) {
			t.Errorf("%q: exit %d: %s", args, code, stderr)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{"90d": "2026-08-25T10:00:00Z", "36h": "2026-11-21T22:00:00Z", "2026-11-01": "2026-11-01T00:00:00Z", "0d": "2026-11-23T10:00:00Z"} {
		if got, err := sinceWhen(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-3d", "-1h", "x"} {
		if got, err := sinceWhen(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
