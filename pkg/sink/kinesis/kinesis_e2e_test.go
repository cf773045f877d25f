//go:build e2e

package kinesis_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// The emulator takes seconds for each MiB: entries are compressed. It would need
// minutes for the thousands of them that none sends.
func TestConformanceOnKinesisLocal(t *testing.T) {
	f := kinesistest.Real(t)
	for name, cfg := range map[string]kinesis.Config{
		"kpl":    {Compression: "zstd"},
		"ndjson": {Aggregate: kinesis.NDJSON, Compression: "gzip"},
	} {
		t.Run(name, func(t *testing.T) { sinktest.Run(t, harness(f, name, cfg)) })
	}
}

// A front before the emulator fails entries and requests at random: each row comes
// once and in order.
func TestPartialFailuresOnKinesisLocal(t *testing.T) {
	f := kinesistest.Real(t)
	kinesistest.CreateStream(t, f.Endpoint(), "s", 3)
	f.SetFault(storm(9))
	write(t, open(t, f.Endpoint(), kinesis.Config{AggregateBytes: 1 << 10}), rows("s", 7, 2_000))
	puts, overlapped := f.Puts()
	if overlapped || len(puts) < 5 {
		t.Errorf("%d requests, two at once: %v", len(puts), overlapped)
	}
	inOrder(t, read(t, f.Endpoint(), "s", kinesis.KPL), 7, 2_000)
}

func TestAMissingStreamOnKinesisLocal(t *testing.T) {
	f := kinesistest.Real(t)
	s := open(t, f.Endpoint(), kinesis.Config{})
	err := s.Write(t.Context(), rows("late", 1, 3))
	if failed, permanent := verdict(err, 3); len(failed) != 3 || len(permanent) != 0 || !kinesis.NeedsHand(err) {
		t.Fatalf("failed %v, for good %v: %v", failed, permanent, err)
	}
	kinesistest.CreateStream(t, f.Endpoint(), "late", 1)
	write(t, s, rows("late", 1, 3))
	inOrder(t, read(t, f.Endpoint(), "late", kinesis.KPL), 1, 3)
}

// The emulator's own limit judges a record, where ours is set above it.
func TestKinesisLocalDecidesOnSize(t *testing.T) {
	f := kinesistest.Real(t)
	kinesistest.CreateStream(t, f.Endpoint(), "s", 1)
	s := open(t, f.Endpoint(), kinesis.Config{Aggregate: kinesis.NDJSON, RecordBytes: 2 << 20})
	batch := rows("s", 1, 9)
	batch[4].Value = make([]byte, 1<<20+1)
	failed, permanent := verdict(s.Write(t.Context(), batch), len(batch))
	if len(permanent) != 1 || permanent[0] != 4 || len(failed) != 5 {
		t.Fatalf("failed %v, for good %v", failed, permanent)
	}
	inOrder(t, read(t, f.Endpoint(), "s", kinesis.NDJSON), 1, 4)
}
