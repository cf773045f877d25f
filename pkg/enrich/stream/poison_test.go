package stream_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// Poison: a record that makes the joins panic, and one that the broker never
// takes, are dead-lettered alone; their neighbours pass, in order.
func TestPoisonIsDeadLetteredAlone(t *testing.T) {
	for name, text := range map[string]string{"panic": "panic", "refused": "refuse-this"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, cfg := cluster(t)
			cfg.Compression = []kgo.CompressionCodec{kgo.NoCompression()}
			c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				p := req.(*kmsg.ProduceRequest)
				for _, topic := range p.Topics {
					for _, batch := range topic.Partitions {
						if p.TransactionID != nil && bytes.Contains(batch.Records, []byte(`"refuse-this"`)) {
							return refuse(p, kerr.InvalidRecord), nil, true
						}
					}
				}
				return nil, nil, false
			})
			produce(t, cfg, 2, 0, 7)
			bad := strings.Replace(row("host-00", 0), `"n":"0"`, `"n":"`+text+`"`, 1)
			client := kafkatest.Client(t, c.ListenAddrs())
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: in, Key: []byte("host-00"), Value: []byte(bad)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			produce(t, cfg, 2, 7, 12)
			runs(t, cfg, 1)
			checkCounts(t, cfg, 2, 12)
			checkPoison(t, cfg, text)
		})
	}
}

// checkPoison wants one dead letter, of the record with this text.
func checkPoison(t *testing.T, cfg stream.KafkaConfig, text string) {
	t.Helper()
	letters := collect(t, cfg, dead, 1)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want one", len(letters))
	}
	var letter struct {
		Reason   string
		Original []byte
	}
	if err := json.Unmarshal(letters[0].Value, &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Reason != "poison" || !bytes.Contains(letter.Original, []byte(text)) {
		t.Errorf("dead letter %s", letters[0].Value)
	}
}

// The count of attempts outlives the process: a record that kills whoever reads it
// is given up in the end.
func TestARecordThatKillsIsDeadLetteredInTheEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many processes to die")
	}
	t.Parallel()
	c, cfg := cluster(t)
	dir := t.TempDir()
	produce(t, cfg, 1, 0, 1)
	first := start(t, c, dir)
	checkCounts(t, cfg, 1, 1)
	first.kill()
	first.wait()
	produce(t, cfg, 1, 1, 3) // row 1 kills
	deaths := 0
	for alive := false; !alive; {
		if deaths++; deaths > 20 {
			t.Fatal("it is never given up")
		}
		alive = outlives(t, start(t, c, dir, childDies+"=1"), c)
	}
	if deaths < 4 {
		t.Errorf("given up after %d deaths, which may have had other causes", deaths-1)
	}
	checkPoison(t, cfg, `"n":"1"`)
	if got := collect(t, cfg, counts, 2); len(got) != 2 {
		t.Errorf("%d rows were counted, want the two beside it", len(got))
	}
}

// outlives tells whether the process lives until the dead letter is there.
func outlives(t *testing.T, e *enricher, c *kfake.Cluster) bool {
	t.Helper()
	admin := kadm.NewClient(kafkatest.Client(t, c.ListenAddrs()))
	died := make(chan struct{})
	go func() {
		e.wait()
		close(died)
	}()
	for {
		select {
		case <-died:
			return false
		case <-time.After(300 * time.Millisecond):
			ends, err := admin.ListCommittedOffsets(t.Context(), dead)
			if err != nil {
				t.Fatal(err)
			}
			written := false
			ends.Each(func(o kadm.ListedOffset) { written = written || o.Offset > 0 })
			if written {
				return true
			}
		}
	}
}
