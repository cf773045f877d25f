//go:build chaos || e2e

package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// The promises of a kill -9 under load with Firehose as the destination: each row comes,
// in the order in which Firehose was given them, and every repeat bears the same name and
// bytes.
func TestKillNineOnTheWayToFirehoseLosesNothing(t *testing.T) {
	const perCall = 200
	eachSeed(t, firehoseSeeds, func(t *testing.T, rng *rand.Rand) {
		f := kinesistest.NewFirehose(t)
		for _, name := range loggertest.Topics() {
			f.Create(t, name, true)
		}
		dir, err := os.MkdirTemp("", "sjh")
		must(t, err)
		h, err := loggertest.NewHost(program, filepath.Join(dir, "h"), "", fmt.Sprintf(
			"firehose: {endpoint: %s, region: %s, access_key: %s, secret_key: %s, aggregate_bytes: 16KiB}\nshipping: {max_cpu: 0}\n",
			f.Endpoint(), kinesistest.Region, kinesistest.AccessKey, kinesistest.SecretKey))
		must(t, err)
		endWith(t, h, dir)
		h.Interval, h.Timeout = 200*time.Millisecond, 2*time.Second
		start(t, h)
		l := &ledger{}
		for call := range callsOfChain {
			if rng.IntN(5) == 0 {
				killOnce(h)
				activate(t, h)
			}
			err := h.LogString(t.Context(), line(call, perCall, 8, rng))
			if l.note(perCall, err); err != nil {
				activate(t, h)
			}
			pause(t.Context(), time.Duration(rng.IntN(100))*time.Millisecond)
		}
		killOnce(h) // a new process waits for no backoff
		activate(t, h)
		records := l.awaitIn(t, patience, func() (out []*kgo.Record) {
			for line := range bytes.Lines(bytes.Join(f.Read("osquery.results"), nil)) {
				out = append(out, asKafka(t, "", bytes.TrimSuffix(line, []byte("\n"))))
			}
			return out
		})
		repeats := checkNames(t, records)
		_, starts := h.PID()
		t.Logf("%d rows promised, %d records, %d repeats, %d starts", l.promised(), len(records), repeats, starts)
	})
}
