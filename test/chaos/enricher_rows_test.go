//go:build chaos || e2e

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

const (
	hostsOfChaos   = 12
	rowsOfChaos    = 18_000
	rowsPerSecond  = 600
	bytesPerSecond = rowsPerSecond * 500

	// longRowsPerSecond is less, for what comes out of a long run is held in memory.
	longRowsPerSecond = 25
)

// storyteller is one host, whose processes start others and talk to the network.
type storyteller struct {
	agent, run string
	rng        *rand.Rand
	seq        int
	now        int
	pids       []int
}

// tell is the rows of the next call, as logger-ext ships them.
func (s *storyteller) tell() (rows []string) {
	s.now += s.rng.IntN(3)
	for range 1 + s.rng.IntN(4) {
		query, columns := s.row()
		rows = append(rows, fmt.Sprintf(`"name":%q,"columns":%s`, query, columns))
	}
	return s.call(rows)
}

// close is a last call, after which nothing waits any more.
func (s *storyteller) close() []string {
	s.now += 3600
	return s.call([]string{fmt.Sprintf(`"name":%q,"columns":{"version":"last"}`, waitsForNothing)})
}

// call makes one call of rows.
func (s *storyteller) call(rows []string) []string {
	s.seq++
	prev := "null"
	if s.seq > 1 {
		prev = fmt.Sprintf(`"%s/%d"`, s.run, s.seq-1)
	}
	spooled := time.Unix(int64(s.now), 0).UTC().Format("2006-01-02T15:04:05.000Z")
	for i := range rows {
		rows[i] = fmt.Sprintf(`{%s,"hostIdentifier":"host-%s","unixTime":%d,"action":"added","delivery":{"agent":%q,"run":%q,"seq":%d,"row":%d,"rows":%d,"prev":%s,"spooled":%q}}`,
			rows[i], s.agent[:8], s.now, s.agent, s.run, s.seq, i, len(rows), prev, spooled)
	}
	return rows
}

// waitsForNothing is a query whose rows no other row changes.
const waitsForNothing = "pack_os_version"

// row is a start of a process, a connection of one that was started or, so that some
// wait, will be; or something else.
func (s *storyteller) row() (query, columns string) {
	if s.rng.IntN(8) == 0 {
		return waitsForNothing, fmt.Sprintf(`{"version":"%d"}`, s.seq)
	}
	parent := s.pids[s.rng.IntN(len(s.pids))]
	if s.rng.IntN(8) == 0 {
		parent = 2 + s.rng.IntN(300)
	}
	at := s.now - s.rng.IntN(5)
	if s.rng.IntN(3) > 0 {
		pid := 2 + s.rng.IntN(300)
		s.pids = append(s.pids, pid)[max(0, len(s.pids)-50):]
		return "process_events", fmt.Sprintf(`{"pid":"%d","parent":"%d","path":"/usr/bin/p%d","cmdline":"p%d --of %d","uid":"1000","auid":"1000","time":"%d","syscall":"execve"}`,
			pid, parent, pid%7, pid%7, s.seq, at)
	}
	address := fmt.Sprintf("203.0.113.%d", s.rng.IntN(50)) // some are on the sample feed
	if s.rng.IntN(5) == 0 {
		address = "198.51.100.23"
	}
	return "socket_events", fmt.Sprintf(`{"action":"connect","pid":"%d","path":"","remote_address":%q,"remote_port":"443","family":"2","time":"%d"}`, parent, address, at)
}

// produce writes the rows at an even pace until all are there.
func (j *join) produce(ctx context.Context, rng *rand.Rand, rows, perSecond int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(j.kafka.Addrs()...), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		j.t.Error(err)
		return
	}
	defer client.Close()
	hosts := make([]*storyteller, hostsOfChaos)
	for i := range hosts {
		hosts[i] = &storyteller{
			agent: fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), i), run: fmt.Sprintf("%016x", rng.Uint64()),
			rng: split(rng), now: 1_760_000_000, pids: []int{1},
		}
	}
	const tick = 50 * time.Millisecond
	promise := kgo.AbortingFirstErrPromise(client)
	send := func(h *storyteller, rows []string) int {
		for _, row := range rows {
			client.Produce(ctx, &kgo.Record{Topic: j.input, Key: []byte(h.agent), Value: []byte(row)}, promise.Promise())
		}
		return len(rows)
	}
	for sent := 0; sent < rows && pause(ctx, tick); {
		for end := sent + perSecond*int(tick)/int(time.Second); sent < end; {
			h := hosts[rng.IntN(len(hosts))]
			sent += send(h, h.tell())
		}
	}
	for _, h := range hosts {
		send(h, h.close())
	}
	if err := promise.Err(); err != nil && ctx.Err() == nil {
		j.t.Errorf("produce: %v", err)
	}
}

// output is the enriched records, in order, once no transaction is open any more.
func (j *join) output() []*kgo.Record {
	j.t.Helper()
	topic := j.name + ".enriched"
	j.settled(topic)
	j.settled(j.name + ".deadletter")
	for _, letter := range j.read(j.name + ".deadletter") {
		j.t.Errorf("dead letter: %s", letter.Value)
	}
	return j.read(topic)
}

// read is a topic's committed records.
func (j *join) read(topic string) []*kgo.Record {
	j.t.Helper()
	all := kafkatest.Read(j.t, j.kafka.Addrs(), topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	return slices.DeleteFunc(all, func(r *kgo.Record) bool { return r.Attrs.IsControl() })
}

// settled returns when every transaction on the topic is ended, by its time-out
// where its owner was killed.
func (j *join) settled(topic string) {
	j.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ends, err := j.admin.ListEndOffsets(j.t.Context(), topic)
		must(j.t, err)
		stable, err := j.admin.ListCommittedOffsets(j.t.Context(), topic)
		must(j.t, err)
		open := 0
		ends.Each(func(end kadm.ListedOffset) {
			if s, ok := stable.Lookup(topic, end.Partition); !ok || s.Err != nil || end.Err != nil || s.Offset != end.Offset {
				open++
			}
		})
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			j.t.Fatalf("%s: transactions stay open on %d partitions", topic, open)
		}
		pause(j.t.Context(), 200*time.Millisecond)
	}
}

// exactlyOnce wants of each host the rows that were produced, by name, each with the
// revisions 0, 1, 2 and so on; and those that wait for nothing in the order in which
// they were produced.
func exactlyOnce(t *testing.T, rows, out []*kgo.Record) {
	t.Helper()
	want, inOrder := map[string]bool{}, map[string][]string{}
	for _, r := range rows {
		row := read(t, r)
		if id := row.name(); !want[id] { // the broker may have it twice, since its producer was not sure
			want[id] = true
			if row.Name == waitsForNothing {
				inOrder[string(r.Key)] = append(inOrder[string(r.Key)], id)
			}
		}
	}
	next, got := map[string]int{}, map[string][]string{}
	for _, r := range out {
		row := read(t, r)
		id := header(r, "id")
		if revision := row.Enrichment.Event.Revision; revision != next[id] || !want[id] {
			t.Errorf("revision %d of %s came where %d was due; produced: %t", revision, id, next[id], want[id])
		}
		next[id]++
		if row.Name == waitsForNothing {
			got[string(r.Key)] = append(got[string(r.Key)], id)
		}
	}
	if len(next) != len(want) || len(inOrder) != hostsOfChaos {
		t.Errorf("%d names came out, want %d; of %d hosts", len(next), len(want), len(inOrder))
	}
	for _, host := range slices.Sorted(maps.Keys(inOrder)) {
		if !slices.Equal(got[host], inOrder[host]) {
			t.Errorf("host %s: %s", host, firstDifference(got[host], inOrder[host]))
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d rows, want %d; the first that is missing is %s", len(got), len(want), want[i])
		case i >= len(want):
			return fmt.Sprintf("%d rows, want %d; the first too many is %s", len(got), len(want), got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("%d rows, want %d; %s came where %s was due", len(got), len(want), got[i], want[i])
		}
	}
	return "equal"
}

// produced is what is read of a row, before and after.
type produced struct {
	Name     string
	Delivery struct {
		Agent, Run string
		Seq, Row   int
	}
	Enrichment struct{ Event struct{ Revision int } }
}

func (p *produced) name() string {
	d := p.Delivery
	return fmt.Sprintf("%s/%s/%d/%d", d.Agent, d.Run, d.Seq, d.Row)
}

func read(t *testing.T, r *kgo.Record) (p produced) {
	must(t, json.Unmarshal(r.Value, &p))
	return p
}

// sameRecords wants the same final record of each name from two runs.
func sameRecords(t *testing.T, got, want []*kgo.Record) {
	t.Helper()
	a, b := final(t, got), final(t, want)
	if len(a) != len(b) {
		t.Errorf("%d names, and %d from the calm run", len(a), len(b))
	}
	told := 0
	for _, id := range slices.Sorted(maps.Keys(b)) {
		if reflect.DeepEqual(a[id], b[id]) {
			continue
		}
		if told++; told <= 3 {
			t.Errorf("%s: %s, the second of them from the calm run", id, firstDifferent("", a[id], b[id]))
		}
	}
	t.Logf("%d records, %d differ", len(b), told)
}

// firstDifferent is where two values differ, and what they have there.
func firstDifferent(path string, a, b any) string {
	x, isObject := a.(map[string]any)
	y, both := b.(map[string]any)
	if isObject && both {
		for _, key := range slices.Sorted(maps.Keys(y)) {
			if !reflect.DeepEqual(x[key], y[key]) {
				return firstDifferent(path+"."+key, x[key], y[key])
			}
		}
	}
	return fmt.Sprintf("%s is %v and %v", path, a, b)
}

// final is the last record of each name, which is that of its highest revision
// (exactlyOnce), without when it was made and how often it was revised.
func final(t *testing.T, records []*kgo.Record) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, r := range records {
		var v map[string]any
		must(t, json.Unmarshal(r.Value, &v))
		enrichment, _ := v["enrichment"].(map[string]any)
		event, ok := enrichment["event"].(map[string]any)
		if !ok {
			t.Fatalf("no enrichment.event in %s", strings.TrimSpace(string(r.Value)))
		}
		delete(event, "ingested")
		delete(event, "revision")
		all[header(r, "id")] = v
	}
	return all
}
