//go:build chaos || e2e

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
)

// routedHosts is how many hosts a sensor sees.
const routedHosts = 40

// Sensors' records and CloudTrail's, in streams of their own, while enrichers are killed
// and stood still past their leases and all streams are split and merged: each record is
// told, a repeat is equal in every byte, and in the end each of the sensor's is linked
// with the process on its host that spoke.
func TestKinesisEnrichersLoseNothingOfWhatIsRouted(t *testing.T) {
	kinesisRoutes(t, kinesisRouteSeeds, newStreams)
}

// The same where records are pushed.
func TestKinesisEnrichersLoseNothingOfWhatIsRoutedWithFanOut(t *testing.T) {
	kinesisRoutes(t, kinesisFanOutSeeds, newPushedStreams)
}

func kinesisRoutes(t *testing.T, n int, open func(*testing.T) *streams) {
	t.Helper()
	binary := buildEnricher(t)
	eachSeed(t, chaosSeeds(t, n), func(t *testing.T, rng *rand.Rand) {
		s := open(t)
		r := s.newRouted(binary, fmt.Sprintf("routed-%d", rng.Uint32()))
		workers := []*worker{r.start(), r.start()}
		stop := r.trouble(workers, split(rng))
		calls := r.tell(rng)
		stop()
		r.closeHosts()
		r.linked()
		r.told(calls)
		t.Logf("%d links, %d calls, %d starts, %d+%d+%d shards", routedHosts, len(calls), r.starts.Load(), len(s.shards(r.rows)), len(s.shards(r.zeek)), len(s.shards(r.trail)))
	})
}

// routed is a group of enrichers that take rows, a sensor's log and CloudTrail.
type routed struct {
	*kinesisJoin
	rows, zeek, trail string
	calls             *tailer
}

func (s *streams) newRouted(binary, name string) *routed {
	s.t.Helper()
	r := &routed{rows: name + ".rows", zeek: name + ".zeek", trail: name + ".trail"}
	for stream, shards := range map[string]int32{r.rows: 3, r.zeek: 2, r.trail: 2, name + ".facts": 1, name + ".calls": 2} {
		kinesistest.CreateStream(s.t, s.front.Endpoint(), stream, shards)
	}
	r.kinesisJoin = s.newJoin(binary, name, r.rows)
	text, err := os.ReadFile(r.config)
	must(s.t, err)
	changed := strings.NewReplacer("inputs: {", fmt.Sprintf("inputs: {sensor: [%s], cloudtrail: [%s], ", r.zeek, r.trail), "outputs: {", fmt.Sprintf("outputs: {cloudtrail: %s.calls, ", name)).Replace(string(text))
	must(s.t, os.WriteFile(r.config, []byte(changed), 0o600))
	r.calls = newTailer(s.t, s.client, name+".calls")
	return r
}

func (r *routed) put(stream, key, value string) {
	r.streams.t.Helper()
	_, err := r.client.PutRecord(r.streams.t.Context(), &awskinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte(value)})
	must(r.streams.t, err)
}

// hour is when all of it happens, in Unix seconds.
const hour = 1_760_000_000

func (r *routed) row(host int, table string, at int, columns string) {
	r.put(r.rows, fmt.Sprint("key-", host), fmt.Sprintf(`{"name":%q,"hostIdentifier":"host%d","unixTime":%d,"action":"added","columns":{%s,"time":"%d"}}`, table, host, hour+at, columns, hour+at))
}

// tell writes each host's address, process and socket, what the sensor saw of the
// socket, before or after, and calls of CloudTrail's, and returns the calls' ids.
func (r *routed) tell(rng *rand.Rand) (calls map[string]bool) {
	calls = map[string]bool{}
	var all []func()
	for host := range routedHosts {
		steps := []func(){
			func() {
				r.row(host, "interface_addresses", 0, fmt.Sprintf(`"interface":"eth0","address":"10.0.0.%d","mask":"255.0.0.0"`, host+1))
			},
			func() {
				r.row(host, "process_events", 0, fmt.Sprintf(`"pid":"100","parent":"0","path":"/usr/bin/p%d","cmdline":"x","syscall":"execve","auid":"0"`, host))
			},
			func() {
				r.row(host, "socket_events", 1, fmt.Sprintf(`"action":"connect","pid":"100","path":"","remote_address":"198.51.100.%d","remote_port":"443"`, host))
			},
		}
		hello := func() {
			r.put(r.zeek, fmt.Sprint(host), fmt.Sprintf(`{"_path":"ssl","ts":%d.5,"uid":"C-%d","id.orig_h":"10.0.0.%d","id.orig_p":4000,"id.resp_h":"198.51.100.%d","id.resp_p":443,"ja3":"host%d"}`, hour, host, host+1, host, host))
		}
		at := rng.IntN(len(steps) + 1)
		all = append(all, steps[:at]...)
		all = append(append(all, hello), steps[at:]...)
		id := fmt.Sprintf("call-%d", host)
		calls[id] = true
		all = append(all, func() {
			r.put(r.trail, id, fmt.Sprintf(`{"eventID":%q,"recipientAccountId":"111122223333","eventTime":"2025-10-09T08:53:%02dZ","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.%d","userIdentity":{"type":"IAMUser","principalId":"AIDA%d"}}`, id, host, host, host))
		})
	}
	for _, step := range all {
		step()
		pause(r.streams.t.Context(), time.Duration(rng.IntN(100))*time.Millisecond)
		if rng.IntN(16) == 0 {
			r.reshard([]string{r.rows, r.zeek, r.trail}[rng.IntN(3)], rng)
		}
	}
	return calls
}

// closeHosts sends each host's last row, after which nothing waits any more.
func (r *routed) closeHosts() {
	for host := range routedHosts {
		r.row(host, "uptime", 3600, `"total_seconds":"1"`)
	}
}

// link is what a record says of a sensor's record and the process behind it.
type link struct {
	Enrichment struct {
		Event   struct{ Revision int }
		Host    struct{ ID string }
		Process struct{ Executable string }
		TLS     struct{ Client struct{ JA3 string } }
		Link    *struct{ Status string }
	}
}

// linked waits until each of the sensor's records is told by itself and as the last
// record of its link, with the process that spoke.
func (r *routed) linked() {
	t := r.streams.t
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; pause(t.Context(), 500*time.Millisecond) {
		once, _ := distinct(t, r.tail.read())
		alone, right, wrong := 0, 0, []string(nil)
		for _, record := range highest(t, once) {
			var l link
			must(t, json.Unmarshal(record.Value, &l))
			e := l.Enrichment
			host := e.TLS.Client.JA3
			switch {
			case host == "":
			case e.Link == nil:
				alone++
			case e.Link.Status == "attributed" && e.Host.ID == host && e.Process.Executable == "/usr/bin/p"+strings.TrimPrefix(host, "host"):
				right++
			default:
				wrong = append(wrong, string(record.Value))
			}
		}
		if alone == routedHosts && right == routedHosts && len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records of the sensor are told, %d of their links are right, and wrong are %q\n%s", alone, routedHosts, right, wrong, tail(r.words()))
		}
	}
}

// told wants each call, and repeats that are equal in every byte.
func (r *routed) told(calls map[string]bool) {
	t := r.streams.t
	t.Helper()
	for deadline := time.Now().Add(patience); ; pause(t.Context(), 500*time.Millisecond) {
		first := map[string][]byte{}
		for _, record := range r.calls.read() {
			var call struct{ EventID string }
			must(t, json.Unmarshal(record.Value, &call))
			if was := first[call.EventID]; was != nil && !bytes.Equal(was, record.Value) {
				t.Errorf("%s is told twice:\n%s\n%s", call.EventID, was, record.Value)
			}
			first[call.EventID] = record.Value
		}
		if len(first) == len(calls) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d calls are told\n%s", len(first), len(calls), tail(r.words()))
		}
	}
}
