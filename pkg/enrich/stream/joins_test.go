package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/jointest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// Promises 5, 6 and 10 together: while members are killed, come and go and their
// transactions fail, every revision comes out once, and the last of each event is
// that of a calm run.
func TestWhateverHappensTheFinalRecordsAreThoseOfACalmRun(t *testing.T) {
	for range 2 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			parts := jointest.Tales(in, rand.New(rand.NewPCG(seed, 0)), 6)
			calm, got := calmly(t, parts), disturbed(t, rand.New(rand.NewPCG(seed, 1)), parts)
			if len(got) != len(calm) {
				t.Errorf("%d events, %d in calm", len(got), len(calm))
			}
			for _, id := range slices.Sorted(maps.Keys(calm)) {
				if !reflect.DeepEqual(got[id], calm[id]) {
					t.Fatalf("%s:\n%v\nand in calm\n%v", id, got[id], calm[id])
				}
			}
		})
	}
}

func calmly(t *testing.T, parts [][]*kgo.Record) map[string]any {
	t.Helper()
	_, cfg := cluster(t)
	for _, part := range parts {
		send(t, cfg, part)
	}
	running(t, cfg, 1, jointest.Job(io.Discard))
	return finals(t, cfg, parts)
}

// disturbed has two members, one of which is a process of its own, for it to be
// killed; the other leaves and comes.
func disturbed(t *testing.T, rng *rand.Rand, parts [][]*kgo.Record) map[string]any {
	t.Helper()
	c, cfg := cluster(t)
	cfg.StateDir = t.TempDir()
	cfg.Connection = append(cfg.Connection, quick()...)
	refused := sabotage(c)
	dir := t.TempDir()
	other := start(t, c, dir, childJoins+"=1")
	stop := running(t, cfg, 1, jointest.Job(io.Discard))
	for _, part := range parts[:len(parts)-1] {
		send(t, cfg, part)
		switch rng.IntN(3) {
		case 0:
			stop()
			stop = running(t, cfg, 1, jointest.Job(io.Discard))
		case 1:
			other.kill()
			other.wait()
			other = start(t, c, dir, childJoins+"=1")
		default:
			collect(t, cfg, out, 0)
		}
	}
	other.kill() // once for sure, with records in work or not
	send(t, cfg, parts[len(parts)-1])
	all := finals(t, cfg, parts)
	if refused.Load() == 0 {
		t.Error("no transaction failed: the test shows too little")
	}
	return all
}

// sabotage fails some of the writes in transactions, the first one among them, for a
// reason that says nothing of the records.
func sabotage(c *kfake.Cluster) *atomic.Int32 {
	var writes, refused atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if p.TransactionID == nil || writes.Add(1)%4 != 1 || refused.Load() >= 5 {
			return nil, nil, false
		}
		refused.Add(1)
		return refuse(p, kerr.TopicAuthorizationFailed), nil, true
	})
	return &refused
}

func send(t *testing.T, cfg stream.KafkaConfig, records []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Connection...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		again := *r
		client.Produce(context.Background(), &again, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// finals are the events' last records, once all is taken. Each event's revisions are
// to be 0, 1, 2 and so on.
func finals(t *testing.T, cfg stream.KafkaConfig, parts [][]*kgo.Record) map[string]any {
	t.Helper()
	want := map[string]bool{}
	for _, r := range slices.Concat(parts...) {
		want[string(r.Value)] = true // a call that came twice is the same
	}
	all, revised := map[string]any{}, 0
	next := map[string]int{}
	for _, r := range collect(t, cfg, out, len(want)) {
		var v map[string]any
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		about := v["enrichment"].(map[string]any)["event"].(map[string]any)
		id := idOf(r)
		if revision := about["revision"]; revision != float64(next[id]) {
			t.Errorf("%s: revision %v came where %d was due", id, revision, next[id])
		}
		revised += min(next[id], 1)
		next[id]++
		delete(about, "revision")
		delete(about, "ingested")
		all[id] = v
	}
	if len(all) != len(want) || revised == 0 {
		t.Errorf("%d events of %d, %d revised", len(all), len(want), revised)
	}
	return all
}
