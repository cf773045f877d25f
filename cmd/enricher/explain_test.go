package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// attack is a login by ssh, its shell, and a curl of it that looks a name up and calls.
func attack() []string {
	row := func(table string, at int, columns string) string {
		return fmt.Sprintf(`{"name":%q,"hostIdentifier":"web-1","unixTime":%d,"columns":{%s,"time":"%d"},"action":"added"}`, table, 1_760_000_000+at+30, columns, 1_760_000_000+at)
	}
	return []string{
		row("process_events", 0, `"pid":"10","parent":"0","path":"/usr/sbin/sshd","cmdline":"sshd","auid":"4294967295","syscall":"execve","eid":"1"`),
		row("user_events", 1, `"pid":"10","uid":"0","auid":"1000","type":"1112","path":"/usr/sbin/sshd","address":"198.51.100.77","terminal":"pts/0","message":"op=login"`),
		row("process_events", 2, `"pid":"11","parent":"10","path":"/bin/bash","cmdline":"-bash","auid":"1000","syscall":"execve","eid":"2"`),
		row("process_events", 3, `"pid":"12","parent":"11","path":"/usr/bin/curl","cmdline":"curl https://bad.example","auid":"1000","syscall":"execve","eid":"3"`),
		row("dns_lookup_events", 4, `"pid":"12","path":"/usr/bin/curl","name":"bad.example","type":"A","response":"45.0.0.9;"`),
		row("socket_events", 5, `"action":"connect","pid":"12","path":"/usr/bin/curl","remote_address":"45.0.0.9","remote_port":"443"`),
	}
}

// explained are the words that an explanation of the attack's call has, row by row.
func explained(place func(row int) string) []string {
	return []string{
		"row       " + place(5), "process   " + place(3), "ancestor  " + place(2), "ancestor  " + place(0), "session   " + place(1), "name      " + place(4),
		`"cmdline":"curl`, `"cmdline":"-bash"`, `"type":"1112"`, `"name":"bad.example"`, "feed mine lists it at",
	}
}

func TestExplainShowsEveryRowThatMadeAScannedRecord(t *testing.T) {
	log, feed := write(t, "osqueryd.results.log", strings.Join(attack(), "\n")+"\n"), write(t, "mine.txt", "45.0.0.9\n")
	stdout, stderr, code := command(t, "", "scan", "--feed", feed, log)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	out, stderr, code := command(t, "", "explain", "--id", log+":6", write(t, "enriched.ndjson", stdout))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, words := range explained(func(row int) string { return fmt.Sprintf("%s:%d\n", log, row+1) }) {
		if !strings.Contains(out, words) {
			t.Errorf("the explanation does not say %q:\n%s", words, out)
		}
	}
	if strings.Count(out, "cannot be shown") != 1 || !strings.Contains(out, "the line cannot be shown: feed mine is not in the configuration") {
		t.Errorf("something else is not shown than the line of a feed of which no copy is kept:\n%s", out)
	}
}

// running runs the enricher until the test ends, and then holds it to have ended well.
func running(t *testing.T, config string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var out, errs bytes.Buffer
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"run", "--config", config}, streams{strings.NewReader(""), &out, &errs})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 || t.Failed() {
			t.Errorf("the enricher ended with %d: %s", code, errs.String())
		}
	})
}

func TestExplainShowsEveryRowThatMadeARecordInKafka(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	broker := kafkatest.Fake(t)
	config := write(t, "enricher.yaml", fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: g\nsessions: 1\ntopics: {partitions: 1, retention: 24h}\nstate: {dir: %s}\nfeeds:\n  - {name: mine, path: %s}\n",
		broker.Addrs()[0], t.TempDir(), write(t, "mine.txt", "# mine\n45.0.0.9 # seen on tuesday\n")))
	if out, stderr, code := command(t, "", "topics", "apply", "--config", config); code != 0 {
		t.Fatalf("topics apply: exit %d: %s%s", code, out, stderr)
	}
	client := kafkatest.Client(t, broker.Addrs())
	for _, row := range attack() {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "osquery.results", Key: []byte("web-1"), Value: []byte(row)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	running(t, config)
	awaitRecord(ctx, t, broker, "osquery.results/0/5")
	out, stderr, code := command(t, "", "explain", "--config", config, "osquery.results/0/5")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, words := range append(explained(func(row int) string { return fmt.Sprintf("osquery.results/0/%d\n", row) }), "45[.]0[.]0[.]9 # seen on tuesday") {
		if !strings.Contains(out, words) {
			t.Errorf("the explanation does not say %q:\n%s", words, out)
		}
	}
	if strings.Contains(out, "cannot be shown") {
		t.Errorf("something is not shown:\n%s", out)
	}
}

// awaitRecord reads the enriched topic until an event of that id is committed.
func awaitRecord(ctx context.Context, t *testing.T, broker *kafkatest.FakeBroker, id string) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...), kgo.ConsumeTopics("osquery.enriched"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for found := false; !found; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("no event %s came", id)
		}
		fetches.EachRecord(func(r *kgo.Record) { found = found || bytes.Contains(r.Value, []byte(`"id":"`+id+`"`)) })
	}
}
