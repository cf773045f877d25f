//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// router is the real program with topics of sensors; the function it returns ends it as
// the signal says.
func router(t *testing.T, bin, config string) (end func(os.Signal)) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "enricher.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(bin, "enricher"), "run", "--config", config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func(signal os.Signal) {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(signal)
		err := cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); err != nil && signal == syscall.SIGTERM || t.Failed() {
			t.Errorf("enricher: %v\n%s", err, text)
		}
	}
	t.Cleanup(func() { end(syscall.SIGTERM) })
	return end
}

// routed is what the test reads of an enriched record.
type routed struct {
	Enrichment struct {
		Event   struct{ ID, Dataset string }
		Host    struct{ ID string }
		Link    *struct{ Status string }
		Process struct{ Executable string }
		TLS     struct{ Client struct{ JA3 string } }
	}
}

// On a real broker, with its own clock and its transactions' markers, what a sensor saw
// is told once, and linked once with the process behind it, while one of two enrichers
// is killed.
func TestSensorsRecordsAreLinkedOnce(t *testing.T) {
	broker := kafkatest.Real(t)
	bin := programs(t)
	config := filepath.Join(t.TempDir(), "enricher.yaml")
	text := "kafka: {brokers: [" + broker.Addrs()[0] + "]}\ngroup: r\nsessions: 1\ntopics: {partitions: 4}\ninputs: {sensor: [sensor], rekey: [foreign]}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(bin, "enricher"), "topics", "apply", "--config", config).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := router(t, bin, config)
	router(t, bin, config)
	const routedHosts, each = 6, 40
	client := kafkatest.Client(t, broker.Addrs())
	now := time.Now().Unix()
	send := func(topic, key, value string) {
		client.Produce(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	row := func(host, table string, at int64, columns string) string {
		return fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"columns":{"time":"%d",%s},"action":"added"}`, table, host, at, at, columns)
	}
	for n := range each {
		for h := range routedHosts {
			host, address, topic, key := fmt.Sprintf("host%d", h), fmt.Sprintf("10.0.0.%d", h+1), "osquery.results", fmt.Sprintf("host%d", h)
			if h%2 == 1 {
				topic, key = "foreign", fmt.Sprint(h%3) // three keys for all hosts
			}
			at := now + int64(n)
			hello := fmt.Sprintf(`{"_path":"ssl","ts":%d.5,"uid":"C%d-%d","id.orig_h":%q,"id.orig_p":4000,"id.resp_h":"198.51.100.%d","id.resp_p":443,"ja3":"%s-%d"}`, at, h, n, address, n, host, n)
			if n%2 == 0 {
				send("sensor", fmt.Sprint(n), hello)
			}
			send(topic, key, row(host, "interface_addresses", at, fmt.Sprintf(`"interface":"eth0","address":%q,"mask":"255.0.0.0"`, address)))
			send(topic, key, row(host, "process_events", at, fmt.Sprintf(`"pid":"%d","parent":"0","path":"/usr/bin/%s-%d","cmdline":"x","syscall":"execve","auid":"0"`, 100+n, host, n)))
			send(topic, key, row(host, "socket_events", at, fmt.Sprintf(`"action":"connect","pid":"%d","path":"","remote_address":"198.51.100.%d","remote_port":"443"`, 100+n, n)))
			if n%2 == 1 {
				send("sensor", fmt.Sprint(n), hello)
			}
		}
		if n == each/2 {
			if err := client.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			consume(t, broker.Addrs()[0], "osquery.enriched", routedHosts)
			first(syscall.SIGKILL)
		}
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := consume(t, broker.Addrs()[0], "osquery.enriched", routedHosts*each*5) // three rows, a record and its link
	links, told := 0, map[string]int{}
	for _, r := range all {
		schematest.Validate(t, header(r, "schema"), r.Value)
		told[header(r, "id")]++
		var v routed
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		e := v.Enrichment
		if e.Link == nil {
			continue
		}
		links++
		host, _, _ := strings.Cut(e.TLS.Client.JA3, "-")
		if e.Link.Status != "attributed" || e.Host.ID != host || e.Process.Executable != "/usr/bin/"+e.TLS.Client.JA3 {
			t.Errorf("%s", r.Value)
		}
	}
	for id, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", id, n)
		}
	}
	if links != routedHosts*each || len(told) != routedHosts*each*5 {
		t.Errorf("%d links of %d, %d records of %d", links, routedHosts*each, len(told), routedHosts*each*5)
	}
}
