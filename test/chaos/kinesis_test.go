//go:build chaos || e2e

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// shakyKinesis is a Kinesis that can go away.
type shakyKinesis struct {
	*kinesistest.Front

	t  *testing.T
	mu sync.Mutex
}

func newShakyKinesis(t *testing.T, f *kinesistest.Front) *shakyKinesis {
	t.Helper()
	for _, name := range loggertest.Topics() {
		kinesistest.CreateStream(t, f.Endpoint(), name, 2)
	}
	return &shakyKinesis{Front: f, t: t}
}

func (k *shakyKinesis) setAway(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Stop(k.t)
	if !away {
		k.Start(k.t)
	}
}

// newKinesisHost makes a host that ships to Kinesis; text is more of that section.
func newKinesisHost(t *testing.T, endpoint, text string) *loggertest.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "sjh")
	must(t, err)
	h, err := loggertest.NewHost(program, filepath.Join(dir, "h"), "", fmt.Sprintf(
		"kinesis: {endpoint: %s, region: %s, access_key: %s, secret_key: %s, %s}\nshipping: {max_cpu: 0}\n",
		endpoint, kinesistest.Region, kinesistest.AccessKey, kinesistest.SecretKey, text))
	must(t, err)
	endWith(t, h, dir)
	return h
}

// stream is what lies on the results stream now, as a Kafka topic would have it:
// what is in headers there, a reader of Kinesis finds in the value.
func stream(t *testing.T, endpoint string) []*kgo.Record {
	t.Helper()
	var out []*kgo.Record
	for _, entry := range kinesistest.Read(t, endpoint, "osquery.results") {
		data := unzipped(t, entry.Data)
		a, ok, err := kpl.Parse(data)
		must(t, err)
		if !ok {
			out = append(out, asKafka(t, *entry.PartitionKey, data))
			continue
		}
		for _, r := range a.All() {
			out = append(out, asKafka(t, string(r.PartitionKey), r.Data))
		}
	}
	return out
}

// unzipped is data without its compression with zstd, if it has one.
func unzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")) {
		return data
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	must(t, err)
	defer unzip.Close()
	plain, err := unzip.DecodeAll(data, nil)
	must(t, err)
	return plain
}

func asKafka(t *testing.T, key string, value []byte) *kgo.Record {
	t.Helper()
	var v struct {
		Kind     string
		Delivery struct {
			Agent, Run string
			Seq        uint64
			Row        int
		}
	}
	must(t, json.Unmarshal(value, &v))
	if v.Kind == "" {
		v.Kind = "result"
	}
	d := v.Delivery
	return &kgo.Record{Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{
		{Key: "kind", Value: []byte(v.Kind)},
		{Key: "agent", Value: []byte(d.Agent)},
		{Key: "run", Value: []byte(d.Run)},
		{Key: "seq", Value: strconv.AppendUint(nil, d.Seq, 10)},
		{Key: "row", Value: strconv.AppendInt(nil, int64(d.Row), 10)},
	}}
}

// The promises of a kill -9 under load with Kinesis as the destination, where
// half-done requests are the rule: some entries are refused for throughput.
func TestKillNineOnTheWayToKinesisLosesNothing(t *testing.T) {
	eachSeed(t, kinesisSeeds, func(t *testing.T, rng *rand.Rand) {
		killOnTheWay(t, newShakyKinesis(t, kinesistest.NewFront(t, kinesistest.NewFake())), rng)
	})
}

func TestKillNineOnTheWayToKinesisLocalLosesNothing(t *testing.T) {
	eachSeed(t, localSeeds, func(t *testing.T, rng *rand.Rand) {
		killOnTheWay(t, newShakyKinesis(t, kinesistest.Real(t)), rng)
	})
}

func killOnTheWay(t *testing.T, k *shakyKinesis, rng *rand.Rand) {
	faults := split(rng)
	k.SetFault(func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		refused := map[int]kinesistest.Error{}
		for i := range p.Records {
			if faults.IntN(5) == 0 {
				refused[i] = kinesistest.Error{Code: "ProvisionedThroughputExceededException", Message: "Rate exceeded"}
			}
		}
		return nil, refused
	})
	h := newKinesisHost(t, k.Endpoint(), "aggregate_bytes: 32KiB")
	h.Interval, h.Timeout = 200*time.Millisecond, 2*time.Second
	start(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	killer, shaker, loader := split(rng), split(rng), split(rng)
	trouble.Go(func() { defer cancel(); kill(ctx, h, killer) })
	trouble.Go(func() { shake(ctx, k, shaker) })
	l := load(ctx, t, h, loader)
	trouble.Wait()
	k.setAway(false)
	k.SetFault(nil)
	killOnce(h) // a new process waits for no backoff
	activate(t, h)
	records := l.awaitIn(t, patience, func() []*kgo.Record { return stream(t, k.Endpoint()) })
	repeats := checkNames(t, records)
	_, starts := h.PID()
	t.Logf("%d calls, %d rows promised, %d records, %d repeats, %d starts", len(l.rows), l.promised(), len(records), repeats, starts)
}

// A hundred thousand rows, while logger-ext is killed again and again: each comes,
// in order, and every repeat bears the same name and bytes.
func TestAHundredThousandRowsToKinesisLocal(t *testing.T) {
	const calls, rows = 100, 1_000
	eachSeed(t, manyRowsSeeds, func(t *testing.T, rng *rand.Rand) {
		k := newShakyKinesis(t, kinesistest.Real(t))
		h := newKinesisHost(t, k.Endpoint(), "compression: zstd")
		h.Interval, h.Timeout = 200*time.Millisecond, 2*time.Second
		start(t, h)
		killAt := map[int]bool{}
		for range 8 {
			killAt[rng.IntN(calls)] = true
		}
		l := &ledger{}
		for call := range calls {
			if killAt[call] {
				pause(t.Context(), time.Duration(rng.IntN(1000))*time.Millisecond)
				killOnce(h)
				activate(t, h)
			}
			err := h.LogString(t.Context(), line(call, rows, 8, rng))
			if l.note(rows, err); err != nil {
				activate(t, h)
			}
		}
		records := l.awaitIn(t, 5*patience, func() []*kgo.Record {
			pause(t.Context(), 3*time.Second) // the emulator is busy enough
			return stream(t, k.Endpoint())
		})
		repeats := checkNames(t, records)
		_, starts := h.PID()
		t.Logf("%d rows promised, %d records, %d repeats, %d starts", l.promised(), len(records), repeats, starts)
		if l.promised() < calls*rows*9/10 {
			t.Error("most calls were not answered OK")
		}
	})
}
