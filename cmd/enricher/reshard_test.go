package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

func groupConfig(t *testing.T, broker, group string, partitions int) string {
	t.Helper()
	config := write(t, group+".yaml", fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: %s\ninputs: {results: [%s.rows]}\ntopics: {partitions: %d}\nmetrics: {listen: \"\"}\n", broker, group, group, partitions))
	if out, stderr, code := command(t, "", "topics", "apply", "--config", config); code != 0 {
		t.Fatalf("topics: %s%s", out, stderr)
	}
	return config
}

// consumed runs the enricher until its group has taken every row.
func consumed(t *testing.T, admin *kadm.Client, config, group string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"run", "--config", config}, streams{strings.NewReader(""), &bytes.Buffer{}, &stderr})
	}()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		lags, err := admin.Lag(t.Context(), group)
		if lag := lags[group]; err == nil && len(lag.Lag) > 0 && lag.Lag.Total() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Error("the rows are not taken")
			break
		}
	}
	cancel()
	if code := <-done; code != 0 || t.Failed() {
		t.Fatalf("exit code %d:\n%s", code, stderr.String())
	}
}

func TestReshardWritesOnlyWhenAsked(t *testing.T) {
	broker := kafkatest.Fake(t)
	old := groupConfig(t, broker.Addrs()[0], "six", 6)
	config := groupConfig(t, broker.Addrs()[0], "twelve", 12)
	client := kafkatest.Client(t, broker.Addrs())
	for host := range 9 {
		row := fmt.Sprintf(`{"name":"socket_events","hostIdentifier":"h%d","unixTime":1760000000,"columns":{"pid":"7","remote_address":"203.0.113.9"},"action":"added"}`, host)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "six.rows", Key: fmt.Append(nil, "h", host), Value: []byte(row)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	consumed(t, kadm.NewClient(client), old, "six")
	out, stderr, code := command(t, "", "reshard", "--config", config, "--from", "six")
	if code != 0 || !strings.Contains(out, "9 rows wait") || !strings.Contains(out, "Nothing was written") || strings.Count(out, "partition ") != 12 {
		t.Fatalf("exit code %d:\n%s%s", code, out, stderr)
	}
	out, stderr, code = command(t, "", "reshard", "--config", config, "--from", "six", "--apply", "--json")
	var said struct {
		Applied bool
		Report  struct{ Partitions []struct{ Hosts, Keys int } }
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || !said.Applied {
		t.Fatalf("%v, exit code %d:\n%s%s", err, code, out, stderr)
	}
	hosts, keys := 0, 0
	for _, p := range said.Report.Partitions {
		hosts, keys = hosts+p.Hosts, keys+p.Keys
	}
	if n := len(kafkatest.Read(t, broker.Addrs(), "twelve.state")); hosts != 9 || n != keys {
		t.Errorf("%d hosts and %d keys told, %d records written", hosts, keys, n)
	}
	if _, stderr, code := command(t, "", "reshard", "--config", config, "--from", "six"); code != 1 || !strings.Contains(stderr, "is not empty") {
		t.Errorf("once more: exit code %d, %s", code, stderr)
	}
}
