package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// childConfig makes the test's program an enricher with that configuration, to be killed.
const childConfig = "ENRICHER_TEST_CONFIG"

func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		if err := quickly(context.Background(), path, io.Discard); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// quickly is enricher run with time-outs for a group whose members die.
func quickly(ctx context.Context, path string, log io.Writer) error {
	cfg, err := enricherconf.Load(path)
	if err != nil {
		return err
	}
	kafka, err := kafkaConfig(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		return err
	}
	kafka.Connection = append(kafka.Connection, kgo.SessionTimeout(3*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(5*time.Second), kgo.TransactionTimeout(3*time.Second))
	return consumeFrom(ctx, cfg, kafka, kafka.Log)
}

// site is a cluster with the topics of a group that routes, and what was sent there.
type site struct {
	t       *testing.T
	broker  *kafkatest.FakeBroker
	brokers []string
	config  string
	client  *kgo.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	broker := kafkatest.Fake(t, kfake.GroupMinSessionTimeout(time.Second))
	brokers := broker.Addrs()
	s := &site{t: t, broker: broker, brokers: brokers, client: kafkatest.Client(t, brokers)}
	s.config = write(t, "enricher.yaml", "kafka: {brokers: ["+brokers[0]+"]}\ngroup: g\nsessions: 2\ntopics: {partitions: 4}\n"+
		"inputs: {sensor: [sensor], cloudtrail: [cloudtrail], rekey: [foreign]}\n")
	if out, stderr, code := command(t, "", "topics", "apply", "--config", s.config); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, stderr)
	}
	return s
}

// enricher runs in this process until the test ends or stop is called.
func (s *site) enricher() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var log bytes.Buffer
	go func() { done <- quickly(ctx, s.config, &log) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil || s.t.Failed() { // what it said tells why
			s.t.Errorf("it ended with %v:\n%s", err, log.String())
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// process starts an enricher that can be killed.
func (s *site) process() (kill func()) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+s.config)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	s.t.Cleanup(kill)
	return kill
}

func (s *site) send(topic, key, value string) {
	s.t.Helper()
	if err := s.client.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// linked is what the tests read of a record.
type linked struct {
	Enrichment struct {
		Event struct {
			ID, Dataset string
			Revision    int
		}
		Host    struct{ ID string }
		Link    *struct{ Status, Source string }
		Process struct{ Executable string }
		TLS     struct{ Client struct{ JA3 string } }
	}
}

// await reads a topic until enough says that it holds all that is to come, and then
// what else comes within a moment. Records of one id are to be as many as told.
func (s *site) await(topic string, enough func([]linked) bool) (all []linked) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(200 * time.Millisecond) {
		all = s.read(topic)
		if enough(all) {
			<-time.After(1500 * time.Millisecond)
			return s.read(topic)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: waited in vain; it has %d records", topic, len(all))
		}
	}
}

func (s *site) read(topic string) (all []linked) {
	s.t.Helper()
	for _, r := range s.records(topic) {
		for _, h := range r.Headers {
			if h.Key == "schema" {
				schematest.Validate(s.t, string(h.Value), r.Value)
			}
		}
		var v linked
		if err := json.Unmarshal(r.Value, &v); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// records are what a topic holds, committed.
func (s *site) records(topic string) []*kgo.Record {
	s.t.Helper()
	all := kafkatest.Read(s.t, s.brokers, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	return slices.DeleteFunc(all, func(r *kgo.Record) bool { return r.Attrs.IsControl() })
}

const hour = 1_760_000_000

func row(host, table string, at int, columns string) string {
	return fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"columns":{"time":"%d",%s},"action":"added"}`, table, host, hour+at, hour+at, columns)
}

// host sends what a host's rows tell of one connection, n seconds after it began.
func (s *site) host(topic, name, key, address string, n int) {
	s.send(topic, key, row(name, "interface_addresses", n, fmt.Sprintf(`"interface":"eth0","address":%q,"mask":"255.0.0.0"`, address)))
	s.send(topic, key, row(name, "process_events", n, fmt.Sprintf(`"pid":"%d","parent":"0","path":"/usr/bin/%s-%d","cmdline":"x","syscall":"execve","auid":"0"`, 100+n, name, n)))
	s.send(topic, key, row(name, "socket_events", n+1, fmt.Sprintf(`"action":"connect","pid":"%d","path":"","remote_address":"198.51.100.%d","remote_port":"443"`, 100+n, n)))
}

// hello sends what a sensor saw of that connection.
func (s *site) hello(name, address string, n int) {
	s.helloBy(fmt.Sprint(rand.IntN(100)), name, address, n)
}

// helloBy is hello with the record's key.
func (s *site) helloBy(key, name, address string, n int) {
	s.send("sensor", key, fmt.Sprintf(`{"_path":"ssl","ts":%d.5,"uid":"C-%s-%d","id.orig_h":%q,"id.orig_p":4000,"id.resp_h":"198.51.100.%d","id.resp_p":443,"ja3":"%s-%d"}`,
		hour+n, name, n, address, n, name, n))
}

// Promises 5 and 10 for what does not come keyed by its host: each sensor's record is
// told once, and linked once with the process on the host that had the address, while
// one of two enrichers is killed and another comes and goes. Records come before and
// after the rows they are about.
func TestSensorsAreLinkedOnceWhoeverDies(t *testing.T) {
	s := newSite(t)
	const hosts, times = 5, 12
	kill := s.process()
	stop := s.enricher()
	name := func(i int) string { return fmt.Sprintf("host%d", i) }
	address := func(i int) string { return fmt.Sprintf("10.0.0.%d", i+1) }
	for n := range times {
		for i := range hosts {
			if (n+i)%2 == 0 {
				s.hello(name(i), address(i), n)
			}
			s.host("osquery.results", name(i), name(i), address(i), n)
			if (n+i)%2 == 1 {
				s.hello(name(i), address(i), n)
			}
		}
		switch n {
		case 3:
			kill()
		case 6:
			stop()
			stop = s.enricher()
		case 8:
			s.enricher()
		}
	}
	for i := range hosts { // an hour later nothing waits
		s.send("osquery.results", name(i), row(name(i), "uptime", 3600, `"total_seconds":"100000"`))
	}
	links := func(all []linked) map[string]linked {
		found := map[string]linked{}
		for _, r := range all {
			if r.Enrichment.Link != nil {
				found[r.Enrichment.TLS.Client.JA3] = r
			}
		}
		return found
	}
	all := s.await("osquery.enriched", func(all []linked) bool { return len(links(all)) == hosts*times })
	times1 := map[string]int{}
	sensors := 0
	for _, r := range all {
		times1[r.Enrichment.Event.ID]++
		if r.Enrichment.Event.Dataset == "zeek.ssl" && r.Enrichment.Link == nil {
			sensors++
		}
	}
	if sensors != hosts*times {
		t.Errorf("%d records of the sensor's were told, %d were sent", sensors, hosts*times)
	}
	for ja3, l := range links(all) {
		e := l.Enrichment
		if host, _, _ := strings.Cut(ja3, "-"); e.Host.ID != host || e.Process.Executable != "/usr/bin/"+ja3 || e.Link.Status != "attributed" {
			t.Errorf("%s: %+v %+v", ja3, e, e.Link)
		}
		if n := times1[e.Event.ID]; n != 1 {
			t.Errorf("%s: the link was told %d times", ja3, n)
		}
	}
}

// Rows that are keyed by something else are joined where their host's are, and are
// linked as others.
func TestRowsAreRekeyed(t *testing.T) {
	s := newSite(t)
	s.enricher()
	const hosts = 6
	for i := range hosts {
		name, address := fmt.Sprintf("far%d", i), fmt.Sprintf("10.1.0.%d", i+1)
		s.host("foreign", name, fmt.Sprint(i/3), address, i)
		s.hello(name, address, i)
	}
	s.send("foreign", "x", "no row")
	joined := func(all []linked) (n int) {
		for _, r := range all {
			if r.Enrichment.Process.Executable != "" && r.Enrichment.Event.Dataset == "osquery.socket_events" || r.Enrichment.Link != nil {
				n++
			}
		}
		return n
	}
	all := s.await("osquery.enriched", func(all []linked) bool { return joined(all) >= 2*hosts })
	if n := joined(all); n != 2*hosts || len(all) != 5*hosts { // 3 rows, a record and its link of each
		t.Errorf("%d joined, %d in all", n, len(all))
	}
	for _, r := range all {
		e := r.Enrichment
		if strings.HasPrefix(e.Event.Dataset, "osquery.") && !strings.HasPrefix(e.Event.ID, "foreign/") {
			t.Errorf("the row's name is %s, not its place", e.Event.ID)
		}
	}
	if letters := s.read("osquery.deadletter"); len(letters) != 1 {
		t.Errorf("%d dead letters", len(letters))
	}
}

const apiCall = `{"eventVersion":"1.11","eventTime":"2026-11-23T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"us-east-1",` +
	`"sourceIPAddress":"10.0.0.1","userAgent":"aws-cli","eventID":"%s","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333",` +
	`"userIdentity":{"type":"AssumedRole","principalId":"AROA:i-0123456789abcdef0","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0","accountId":"111122223333",` +
	`"inScopeOf":{"issuerType":"AWS::EC2::Instance","credentialsIssuedTo":"arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"}}}`

// CloudTrail's records are told once, whatever copies come, and go to the partition of
// the instance that called: also one that is known only later.
func TestAPICallsGoToTheirHost(t *testing.T) {
	s := newSite(t)
	s.enricher()
	call := func(id string) { s.send("cloudtrail", "k", fmt.Sprintf(apiCall, id)) }
	call("early")
	call("early")
	s.await("cloudtrail.enriched", func(all []linked) bool { return len(all) == 1 })
	s.send("osquery.results", "web", row("web", "ec2_instance_metadata", 0, `"instance_id":"i-0123456789abcdef0","account_id":"111122223333","region":"us-east-1","ami_id":"ami-1"`))
	calls := func() (all []*kgo.Record) {
		return slices.DeleteFunc(s.records("g.side"), func(r *kgo.Record) bool { return !bytes.Contains(r.Value, []byte(`"kind":"call"`)) })
	}
	s.await("g.side", func([]linked) bool { return len(calls()) == 1 })
	call("late")
	call("early")
	s.await("g.side", func([]linked) bool { return len(calls()) == 2 })
	if n := len(s.read("cloudtrail.enriched")); n != 2 {
		t.Errorf("%d records, two calls were made", n)
	}
	want := s.records("osquery.results")[0].Partition
	for _, r := range calls() {
		var v struct{ Host, Kind, Source string }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if v.Host != "web" || r.Partition != want || !strings.HasSuffix(v.Source, "/111122223333") {
			t.Errorf("partition %d, want %d: %+v", r.Partition, want, v)
		}
	}
}

// A call meets the process that made it, whichever of the two comes first.
func TestACallIsLinkedWithItsProcess(t *testing.T) {
	s := newSite(t)
	s.enricher()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Unix()
	osquery := func(table string, seconds int64, columns string) {
		s.send("osquery.results", "web", fmt.Sprintf(`{"name":%q,"hostIdentifier":"web","unixTime":%d,"columns":{%s},"action":"added"}`, table, at+seconds, columns))
	}
	program := func(pid int, seconds int64, path, commandLine string) {
		osquery("process_events", seconds, fmt.Sprintf(`"pid":"%d","parent":"1","path":%q,"cmdline":%q,"uid":"0","auid":"","time":"%d"`, pid, path, commandLine, at+seconds))
	}
	osquery("ec2_instance_metadata", -60, `"instance_id":"i-0123456789abcdef0","account_id":"111122223333","region":"us-east-1","ami_id":"ami-1"`)
	program(100, -2, "/usr/bin/aws", "aws s3api list-buckets")
	s.send("cloudtrail", "k", fmt.Sprintf(apiCall, "before"))
	s.await("g.side", func([]linked) bool {
		return slices.ContainsFunc(s.records("g.side"), func(r *kgo.Record) bool { return bytes.Contains(r.Value, []byte(`"kind":"call"`)) })
	})
	program(101, 600, "/usr/bin/true", "true")
	links := func() (all []*kgo.Record) {
		for _, r := range s.records("cloudtrail.enriched") {
			if bytes.Contains(r.Value, []byte(cloud.SchemaLink)) {
				all = append(all, r)
			}
		}
		return all
	}
	s.await("cloudtrail.enriched", func([]linked) bool { return len(links()) == 1 })
	s.send("cloudtrail", "k", fmt.Sprintf(apiCall, "after"))
	s.await("cloudtrail.enriched", func([]linked) bool { return len(links()) == 2 })
	for _, r := range links() {
		schematest.Validate(t, cloud.SchemaLink, r.Value)
		if string(r.Key) != "web" || !bytes.Contains(r.Value, []byte(`"status":"possible","candidates":[{"score":2,"reasons":["agent"],"process":{`)) {
			t.Errorf("key %s: %s", r.Key, r.Value)
		}
	}
	for _, r := range s.records("osquery.enriched") {
		if bytes.Contains(r.Value, []byte(`"cmdline":"true"`)) && !bytes.Contains(r.Value, []byte(`"cloud":{"provider":"aws","account":{"id":"111122223333"}`)) {
			t.Errorf("a row does not tell its host's instance: %s", r.Value)
		}
	}
}
