//go:build e2e

// Package e2e holds the tests of the whole path against a real Kafka: osqueryd's
// socket, logger-ext, the broker, the enricher.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const (
	hosts       = 4
	rowsPerHost = 50_000
	patience    = 10 * time.Minute
)

func topics() []string {
	return []string{"osquery.results", "osquery.status", "osquery.enriched", "osquery.findings", "osquery.deadletter"}
}

// createTopics makes the topics with the broker's own clock, and the group's state.
func createTopics(t *testing.T, brokers []string, group string, partitions int32) {
	t.Helper()
	for _, topic := range topics() {
		kafkatest.CreateTopic(t, brokers, topic, partitions, map[string]string{"message.timestamp.type": "LogAppendTime"})
	}
	kafkatest.CreateTopic(t, brokers, group+".state", partitions, map[string]string{"cleanup.policy": "compact"})
}

// programs builds both programs and returns their folder.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"logger-ext", "enricher"} {
		if _, err := loggertest.BuildProgram(t.Context(), "./cmd/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// enricher starts the real program; the function it returns sends SIGTERM and
// waits.
func enricher(t *testing.T, bin, broker, group string) (stop func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "enricher.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(bin, "enricher"), "run", "--config", "../../examples/enricher.yaml")
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+broker, "GROUP="+group, "STATE_DIR="+t.TempDir(), "FEEDS_DIR=../../examples/feeds")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		b, _ := os.ReadFile(log.Name())
		return string(b)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(text(), "enricher started"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the enricher did not start:\n%s", text())
		}
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("enricher: %v\n%s", err, text())
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// play logs n rows of one host through osqueryd's socket, in all three forms, and
// goes on until all hosts' rows are shipped.
func play(ctx context.Context, bin, dir, broker, name string, n int, shipped <-chan struct{}) error {
	d, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(dir, name), Logger: "stackjoin", Timeout: 30 * time.Second,
		Extension: &osqueryd.Extension{
			Path: filepath.Join(bin, "logger-ext"), Args: []string{"--config", "../../examples/logger-ext.yaml"},
			Env: []string{"KAFKA_BROKERS=" + broker, "SPOOL_DIR=" + filepath.Join(dir, "spool-"+name)},
		},
	})
	if err != nil {
		return err
	}
	defer d.Kill()
	if err := d.Activate(ctx); err != nil {
		return err
	}
	line := osqueryd.Line{Name: "numbers", HostIdentifier: name, Time: time.Now()}
	for i := 0; i < n; {
		size := min([]int{1, 100, 1000}[i/10%3], n-i)
		rows := make([]osqueryd.Row, size)
		for j := range rows {
			rows[j] = osqueryd.Row{"i": i + j, "text": "some text that a row has"}
		}
		switch size {
		case 1:
			err = d.LogString(ctx, line.Event("added", rows[0]))
		case 1000:
			err = d.LogSnapshot(ctx, line.Snapshot(rows))
		default:
			err = d.LogBatch(ctx, line, nil, rows)
		}
		if err != nil {
			return err
		}
		i += size
	}
	// What is not sent at the shutdown stays in the spool.
	select {
	case <-shipped:
	case <-ctx.Done():
	}
	return d.Shutdown(context.WithoutCancel(ctx))
}

// consume reads committed records of topic until there are want, heartbeats not
// counted, and no more come.
func consume(t *testing.T, broker, topic string, want int) []*kgo.Record {
	t.Helper()
	client := kafkatest.Client(t, []string{broker}, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var all []*kgo.Record
	rows, deadline := 0, time.Now().Add(patience)
	for quiet := 0; quiet < 3 && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		for _, r := range fetches.Records() {
			if all = append(all, r); header(r, "kind") != "heartbeat" {
				rows++
			}
		}
		if fetches.NumRecords() == 0 && rows >= want {
			quiet++
		}
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// exactlyOnceInOrder wants each host's rows 0 to n once and in order, under names
// that do not repeat.
func exactlyOnceInOrder(t *testing.T, topic string, records []*kgo.Record, id func(*kgo.Record) string) {
	t.Helper()
	names := make(map[string]bool, len(records))
	next, rows := map[string]int{}, 0
	for i, r := range records {
		if names[id(r)] {
			t.Fatalf("%s: %s came twice", topic, id(r))
		}
		names[id(r)] = true
		if kind := header(r, "kind"); kind == "heartbeat" {
			continue
		} else if kind == "gap" {
			t.Fatalf("%s: %s", topic, r.Value)
		}
		rows++
		var v struct {
			HostIdentifier string
			Columns        struct{ I string }
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatalf("%s: %v in %s", topic, err, r.Value)
		}
		if want := fmt.Sprint(next[v.HostIdentifier]); v.Columns.I != want {
			t.Fatalf("%s: %s: row %s came where %s was due", topic, v.HostIdentifier, v.Columns.I, want)
		}
		next[v.HostIdentifier]++
		if i%500 == 0 {
			schematest.Validate(t, header(r, "schema"), r.Value)
		}
	}
	if len(next) != hosts || rows != hosts*rowsPerHost {
		t.Fatalf("%s: %d rows of %d hosts, want %d of %d", topic, rows, len(next), hosts*rowsPerHost, hosts)
	}
}

// Promises 2, 4 and 5 on a real broker: every row exactly once and in order per
// host on both topics, while one enricher of two is stopped and started.
func TestTwoHundredThousandRows(t *testing.T) {
	broker := kafkatest.Real(t)
	address := broker.Addrs()[0]
	createTopics(t, broker.Addrs(), "g", 4)
	bin := programs(t)
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	enricher(t, bin, address, "g")
	stopSecond := enricher(t, bin, address, "g")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	shipped := make(chan struct{})
	for h := range hosts {
		wg.Go(func() {
			if err := play(ctx, bin, dir, address, fmt.Sprintf("h%d", h), rowsPerHost, shipped); err != nil {
				t.Errorf("host %d: %v", h, err)
			}
		})
	}
	stopSecond()
	enricher(t, bin, address, "g")
	results := consume(t, address, "osquery.results", hosts*rowsPerHost)
	close(shipped)
	wg.Wait()
	exactlyOnceInOrder(t, "osquery.results", results, func(r *kgo.Record) string {
		return strings.Join([]string{header(r, "agent"), header(r, "run"), header(r, "seq"), header(r, "row")}, "/")
	})
	enriched := consume(t, address, "osquery.enriched", hosts*rowsPerHost)
	exactlyOnceInOrder(t, "osquery.enriched", enriched, func(r *kgo.Record) string { return header(r, "id") })
	checkKcat(t, address)
}

// checkKcat reads both topics with kcat: keys, headers and JSON are as
// docs/enriched.md says.
func checkKcat(t *testing.T, address string) {
	t.Helper()
	for topic, headers := range map[string][]string{
		"osquery.results":  {"agent", "run", "seq", "row", "rows", "kind", "query", "schema"},
		"osquery.enriched": {"id", "kind", "schema"},
	} {
		out, err := exec.Command("kcat", "-C", "-b", address, "-t", topic, "-o", "beginning", "-c", "20", "-J").Output()
		if err != nil {
			t.Fatalf("kcat (Debian's package kcat): %v", err)
		}
		for line := range bytes.Lines(out) {
			var r struct {
				Key, Payload string
				Headers      []string
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if len(r.Key) != 36 || !json.Valid([]byte(r.Payload)) {
				t.Errorf("%s: key %q, payload %.80s", topic, r.Key, r.Payload)
			}
			for _, want := range headers {
				if !strings.Contains(" "+strings.Join(r.Headers, " ")+" ", " "+want+" ") {
					t.Errorf("%s: no header %s in %v", topic, want, r.Headers)
				}
			}
		}
	}
}
