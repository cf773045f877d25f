//go:build e2e

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/kpl"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// shardSite is kinesis-local and dynalite with the streams of a group that routes.
type shardSite struct {
	t      *testing.T
	front  *kinesistest.Front
	client *awskinesis.Client
	config string
}

func newShardSite(t *testing.T, more string) *shardSite {
	t.Helper()
	front := kinesistest.Real(t)
	s := &shardSite{t: t, front: front, client: kinesistest.Client(t, front.Endpoint())}
	for name, shards := range map[string]int32{
		"rows": 3, "trail": 2, "zeek": 2, "foreign": 1, "joins.facts": 1, "told": 1, "calls": 1, "findings": 1, "dead": 1,
	} {
		kinesistest.CreateStream(t, front.Endpoint(), name, shards)
	}
	s.config = write(t, "enricher.yaml", fmt.Sprintf(`kinesis:
  endpoint: %s
  region: %s
  access_key: %s
  secret_key: %s
  leases: {endpoint: %s, period: 2s}
  journal: %s
  poll: 250ms
  commit: 100ms
group: joins
delivery: at_least_once
inputs: {results: [rows], sensor: [zeek], cloudtrail: [trail], rekey: [foreign]}
outputs: {enriched: told, cloudtrail: calls, findings: findings, deadletter: dead%s}
`, front.Endpoint(), kinesistest.Region, kinesistest.AccessKey, kinesistest.SecretKey, kinesistest.Dynamo(t), t.TempDir(), more))
	return s
}

// enricher runs until the test ends or stop is called.
func (s *shardSite) enricher() (stop func()) {
	s.t.Helper()
	cfg, err := enricherconf.Load(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consume(ctx, cfg, false, slog.New(slog.NewTextHandler(&log, nil))) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil || s.t.Failed() {
			s.t.Errorf("it ended with %v:\n%s", err, log.String())
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *shardSite) put(stream, key, value string) {
	s.t.Helper()
	if _, err := s.client.PutRecord(s.t.Context(), &awskinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte(value)}); err != nil {
		s.t.Fatal(err)
	}
}

// read is what a stream holds.
func (s *shardSite) read(stream string) (values []string) {
	s.t.Helper()
	u := kinesis.Unpacker{Source: stream, Hashes: kpl.HashRange{End: kpl.Hash(bytes.Repeat([]byte{0xff}, 16))}}
	defer u.Close()
	for _, r := range kinesistest.Read(s.t, s.front.Endpoint(), stream) {
		for _, in := range u.Unpack(nil, &kinesis.Packed{PartitionKey: *r.PartitionKey, Sequence: *r.SequenceNumber, Data: r.Data}) {
			if in.Input.Broken != nil {
				s.t.Fatal(in.Input.Broken)
			}
			values = append(values, string(in.Input.Value))
		}
	}
	return values
}

// await waits until a stream holds enough.
func (s *shardSite) await(what string, read func() []string, enough func([]string) bool) []string {
	s.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; <-time.After(200 * time.Millisecond) {
		all := read()
		if enough(all) {
			return all
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: waited in vain; it has %d records; dead letters %q", what, len(all), s.read("dead"))
		}
	}
}

// envelope is records as CloudWatch Logs writes them to a stream it subscribes.
func envelope(t *testing.T, records []json.RawMessage) string {
	t.Helper()
	type logEvent struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	}
	e := struct {
		MessageType string     `json:"messageType"`
		LogGroup    string     `json:"logGroup"`
		LogEvents   []logEvent `json:"logEvents"`
	}{MessageType: "DATA_MESSAGE", LogGroup: "CloudTrail/logs"}
	for i, r := range records {
		var line bytes.Buffer
		if err := json.Compact(&line, r); err != nil {
			t.Fatal(err)
		}
		e.LogEvents = append(e.LogEvents, logEvent{fmt.Sprint(i), line.String()})
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// trailRecords are those of the story.
func trailRecords(t *testing.T) []json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(story)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Records []json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Records
}

// CloudTrail comes by a subscription of CloudWatch Logs and as it is in S3, to another
// stream than the rows, and meets them as in the files of a scan: each record once,
// whatever copies come, calls with their process, rows with their instance and principal.
func TestCloudTrailOnKinesisIsJoinedAsInAScan(t *testing.T) {
	s := newShardSite(t, "")
	s.enricher()
	s.enricher()
	all := trailRecords(t)
	half := len(all) / 2
	first := envelope(t, all[:half])
	s.put("trail", "a", first)
	rows := strings.Split(strings.TrimSpace(attacked), "\n")
	for _, row := range rows {
		s.put("rows", "the host's key", row)
	}
	rest, err := json.Marshal(map[string]any{"Records": all[half:]})
	if err != nil {
		t.Fatal(err)
	}
	s.put("trail", "b", string(rest))
	s.put("trail", "a", first) // once more
	ids := func(values []string) map[string]int {
		times := map[string]int{}
		for _, v := range values {
			var r struct{ EventID string } // a link has none
			if err := json.Unmarshal([]byte(v), &r); err != nil {
				t.Fatal(err)
			}
			if r.EventID != "" {
				schematest.Validate(t, cloudtrail.SchemaEnriched, []byte(v))
				times[r.EventID]++
			}
		}
		return times
	}
	s.await("calls", func() []string { return s.read("calls") }, func(all []string) bool { return len(ids(all)) == len(trailRecords(t)) })
	s.await("rows", func() []string { return s.read("rows") }, func(all []string) bool { return len(all) >= len(rows)+2 }) // the calls of its instance
	s.put("rows", "the host's key", `{"name":"uptime","hostIdentifier":"web-1","unixTime":1795431900,"columns":{"total_seconds":"100000"},"action":"snapshot"}`)
	links := func(values []string) map[string]string {
		status := map[string]string{}
		for _, v := range values {
			var r struct {
				Schema string
				Event  struct{ Action string }
				Link   struct{ Status string }
			}
			if err := json.Unmarshal([]byte(v), &r); err != nil {
				t.Fatal(err)
			}
			if r.Schema == cloud.SchemaLink {
				schematest.Validate(t, r.Schema, []byte(v))
				status[r.Event.Action] = r.Link.Status
			}
		}
		return status
	}
	want := map[string]string{"GetObject": "attributed", "GetSecretValue": "none"}
	calls := s.await("links", func() []string { return s.read("calls") }, func(all []string) bool { return maps.Equal(links(all), want) })
	for id, n := range ids(calls) {
		if n != 1 {
			t.Errorf("%s is told %d times", id, n)
		}
	}
	// Each process learns of the facts within seconds.
	seconds := 100_000
	s.await("a row that tells its host's instance and who launched it", func() []string {
		seconds++
		s.put("rows", "the host's key", fmt.Sprintf(`{"name":"uptime","hostIdentifier":"web-1","unixTime":%d,"columns":{"total_seconds":"%d"},"action":"snapshot"}`, 1_795_331_900+seconds, seconds))
		return s.read("told")
	}, func(all []string) bool {
		return slices.ContainsFunc(all, func(v string) bool {
			return strings.Contains(v, `"uptime"`) && strings.Contains(v, `"proof":"metadata"`) && strings.Contains(v, `"by":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/anaya"`)
		})
	})
	if dead := s.read("dead"); len(dead) > 0 {
		t.Errorf("dead letters: %s", dead)
	}
}

// Sensors' records are linked with the process on the host that had the address, and rows
// under other keys are joined, while enrichers come and go; output is files here.
func TestSensorsAndRowsOfOthersOnKinesis(t *testing.T) {
	dir := t.TempDir()
	s := newShardSite(t, ", to: files, dir: "+dir)
	stop := s.enricher()
	const hosts = 6
	name := func(i int) string { return fmt.Sprintf("host%d", i) }
	hello := func(i int) {
		s.put("zeek", fmt.Sprint(i), fmt.Sprintf(`{"_path":"ssl","ts":%d.5,"uid":"C-%d","id.orig_h":"10.0.0.%d","id.orig_p":4000,"id.resp_h":"198.51.100.%d","id.resp_p":443,"ja3":"%s"}`,
			hour, i, i+1, i, name(i)))
	}
	told := func() (lines []string) {
		files, err := filepath.Glob(filepath.Join(dir, "told-*.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.Split(strings.TrimSpace(string(text)), "\n")...)
		}
		return lines
	}
	links := func(lines []string) map[string]linked {
		found := map[string]linked{}
		for _, line := range lines {
			var v linked
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				continue // a line that is being written
			}
			if v.Enrichment.Link != nil {
				found[v.Enrichment.TLS.Client.JA3] = v
			}
		}
		return found
	}
	for i := range hosts {
		stream := "rows"
		if i%2 == 1 {
			stream = "foreign"
		}
		if i < hosts/2 {
			hello(i)
		}
		s.put(stream, fmt.Sprint("key", i), row(name(i), "interface_addresses", 0, fmt.Sprintf(`"interface":"eth0","address":"10.0.0.%d","mask":"255.0.0.0"`, i+1)))
		s.put(stream, fmt.Sprint("key", i), row(name(i), "process_events", 0, fmt.Sprintf(`"pid":"100","parent":"0","path":"/usr/bin/%s","cmdline":"x","syscall":"execve","auid":"0"`, name(i))))
		s.put(stream, fmt.Sprint("key", i), row(name(i), "socket_events", 1, fmt.Sprintf(`"action":"connect","pid":"100","path":"","remote_address":"198.51.100.%d","remote_port":"443"`, i)))
	}
	s.await("links", told, func(all []string) bool { return len(links(all)) == hosts/2 })
	stop()
	for i := hosts / 2; i < hosts; i++ {
		hello(i)
	}
	s.enricher()
	all := s.await("links", told, func(all []string) bool { return len(links(all)) == hosts })
	for ja3, l := range links(all) {
		e := l.Enrichment
		if e.Host.ID != ja3 || e.Process.Executable != "/usr/bin/"+ja3 || e.Link.Status != "attributed" {
			t.Errorf("%s: %+v %+v", ja3, e, e.Link)
		}
	}
}

// Whose address is whose is known for longer than the stream of facts keeps it, also to a
// process that never saw that stream say so.
func TestFactsOutliveTheirStream(t *testing.T) {
	s := newShardSite(t, "")
	stop := s.enricher()
	s.put("rows", "key", row("web-1", "interface_addresses", 0, `"interface":"eth0","address":"10.0.0.1","mask":"255.0.0.0"`))
	s.put("rows", "key", row("web-1", "process_events", 0, `"pid":"100","parent":"0","path":"/usr/bin/curl","cmdline":"x","syscall":"execve","auid":"0"`))
	s.put("rows", "key", row("web-1", "socket_events", 1, `"action":"connect","pid":"100","path":"","remote_address":"198.51.100.1","remote_port":"443"`))
	cfg, err := enricherconf.Load(s.config)
	if err != nil {
		t.Fatal(err)
	}
	leases := &lease.Table{Client: kinesistest.DynamoClient(t, cfg.Kinesis.Leases.Endpoint), Name: cfg.RouteTable("joins.facts")}
	s.await("facts", func() (kept []string) {
		all, err := leases.All(t.Context())
		if err != nil {
			return nil // there is no table yet
		}
		for _, l := range all {
			if l.Journal != "" {
				kept = append(kept, l.Journal)
			}
		}
		return kept
	}, func(kept []string) bool { return len(kept) > 0 })
	stop()
	name := "joins.facts"
	if _, err := s.client.DeleteStream(t.Context(), &awskinesis.DeleteStreamInput{StreamName: &name}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(40 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if _, err := kinesis.Shards(t.Context(), s.client, name); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream is not deleted")
		}
	}
	kinesistest.CreateStream(t, s.front.Endpoint(), name, 1)
	s.enricher()
	s.put("zeek", "c", fmt.Sprintf(`{"_path":"ssl","ts":%d.5,"uid":"C-1","id.orig_h":"10.0.0.1","id.orig_p":4000,"id.resp_h":"198.51.100.1","id.resp_p":443,"ja3":"x"}`, hour))
	s.await("link", func() (links []string) {
		for _, value := range s.read("told") {
			var v linked
			if err := json.Unmarshal([]byte(value), &v); err != nil {
				t.Fatal(err)
			}
			if l := v.Enrichment.Link; l != nil && l.Status == "attributed" && v.Enrichment.Process.Executable == "/usr/bin/curl" {
				links = append(links, value)
			}
		}
		return links
	}, func(links []string) bool { return len(links) == 1 })
}

// What a feed learns of later is found in shards that are read again, inside of Kinesis
// records that hold several rows too: rows of hosts, what a sensor saw of ends that are no
// host's, and API calls. Once, over a restart in which the feed learns more.
func TestWhatFeedsLearnIsLookedForInShards(t *testing.T) {
	s := newShardSite(t, "")
	list, told := filepath.Join(t.TempDir(), "list.txt"), time.Now().Add(-time.Hour)
	learns := func(all ...string) {
		told = told.Add(time.Minute)
		says(t, list, told, all...)
	}
	learns()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.config = write(t, "enricher.yaml", string(text)+"state: {dir: "+t.TempDir()+"}\nfeeds: [{name: list, path: "+list+", confidence: 90, max_shrink: 100}]\n")
	stop := s.enricher()
	const hosts = 8
	for i := range hosts {
		var rows strings.Builder
		for n := range 5 { // of each host only the fourth socket's other end is listed
			name := fmt.Sprint("host", i)
			rows.WriteString(row(name, "process_events", n, fmt.Sprintf(`"pid":"%d","parent":"0","path":"/usr/bin/p%d","cmdline":"x","syscall":"execve","auid":"0"`, 100+n, n)) + "\n")
			rows.WriteString(row(name, "socket_events", n, fmt.Sprintf(`"action":"connect","pid":"%d","path":"","remote_address":"45.0.%d.%d","remote_port":"443"`, 100+n, n, i)) + "\n")
		}
		s.put("rows", fmt.Sprint("key", i), rows.String())
	}
	s.put("zeek", "a", fmt.Sprintf(`{"_path":"conn","ts":%d.5,"uid":"C-1","id.orig_h":"10.7.0.1","id.orig_p":4000,"id.resp_h":"45.0.9.9","id.resp_p":443,"proto":"tcp","conn_state":"SF"}`, hour))
	s.put("trail", "a", strings.Replace(fmt.Sprintf(apiCall, "one"), "10.0.0.1", "45.0.9.7", 1))
	s.await("told", func() []string { return s.read("told") }, func(all []string) bool { return len(all) == hosts*10+1 })
	s.await("calls", func() []string { return s.read("calls") }, func(all []string) bool { return len(all) == 1 })
	findings := func() []string { return s.read("findings") }
	wants := func(n int) map[string]afterwards {
		t.Helper()
		all := map[string]afterwards{}
		for _, text := range s.await("findings", findings, func(all []string) bool { return len(all) >= n }) {
			schematest.Validate(t, finding.Schema, []byte(text))
			var f afterwards
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
			key := f.Host.ID + " " + f.Threat.Enrichments[0].Matched.Atomic
			if _, twice := all[key]; twice || f.Finding.Count != 1 || !f.Finding.Retro || len(f.Evidence) != 1 {
				t.Errorf("%s: %s", key, text)
			}
			all[key] = f
		}
		if len(all) != n {
			t.Errorf("%d findings, want %d", len(all), n)
		}
		return all
	}
	listed := []string{"45.0.9.9", "45.0.9.7"}
	for i := range hosts {
		listed = append(listed, fmt.Sprint("45.0.3.", i))
	}
	learns(listed...)
	all := wants(hosts + 2)
	for i := range hosts {
		key := fmt.Sprintf("host%d 45.0.3.%d", i, i)
		if f := all[key]; f.Evidence[0].Topic != "rows" || !strings.Contains(f.Message, "p3") {
			t.Errorf("%s: %+v", key, f)
		}
	}
	if all[" 45.0.9.9"].Evidence[0].Topic != "zeek" || all[" 45.0.9.7"].Evidence[0].ID != "one/111122223333" {
		t.Errorf("%+v", all)
	}
	stop()
	learns(append(listed, "45.0.1.5")...) // while nothing runs
	s.enricher()
	if all = wants(hosts + 3); all["host5 45.0.1.5"].Message == "" {
		t.Errorf("%+v", all)
	}
}
