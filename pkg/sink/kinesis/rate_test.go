package kinesis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// A shard that takes so many bytes in each tenth of a second gets what it takes:
// most of what is sent is taken, where sending all at once would have most refused.
func TestTheRateAdaptsToTheShard(t *testing.T) {
	for aggregate, n := range map[kinesis.Aggregate]int{kinesis.KPL: 10_000, kinesis.None: 2_000} {
		f := fake(t)
		kinesistest.CreateStream(t, f.Endpoint(), "s", 1)
		shard := &fullShard{perTenth: 12 << 10}
		f.SetFault(shard.fault)
		write(t, open(t, f.Endpoint(), kinesis.Config{Aggregate: aggregate, AggregateBytes: 8 << 10}), rows("s", 1, n))
		got := read(t, f.Endpoint(), "s", aggregate)
		if aggregate == kinesis.KPL {
			inOrder(t, got, 1, n)
		}
		if len(got) != n || shard.refused == 0 || shard.refused > shard.passed {
			t.Errorf("%s: %d rows; %d entries were refused and %d taken", aggregate, len(got), shard.refused, shard.passed)
		}
	}
}

// fullShard takes no more than so many bytes in a tenth of a second.
type fullShard struct {
	perTenth        int
	window          time.Time
	taken           int
	refused, passed int
}

func (s *fullShard) fault(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
	if now := time.Now(); now.Sub(s.window) > 100*time.Millisecond {
		s.window, s.taken = now, 0
	}
	refused := map[int]kinesistest.Error{}
	for i, e := range p.Records {
		size := len(e.Data) + len(e.PartitionKey)
		if s.taken+size > s.perTenth {
			refused[i] = kinesistest.Error{Code: rateExceeded, Message: "Rate exceeded for shard shardId-000000000000 in stream s under account 1."}
			s.refused++
			continue
		}
		s.taken += size
		s.passed++
	}
	return nil, refused
}

// enough refusals give what is not refused the time to go: it needs no wait.
const enough = 8

// A shard that is full holds up its own hosts only.
func TestAFullShardHoldsUpNoOther(t *testing.T) {
	f := fake(t, "s")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refusals := 0
	f.SetFault(func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		refused := map[int]kinesistest.Error{}
		for i, e := range p.Records {
			if e.PartitionKey == "host-0" {
				if refusals++; refusals == enough {
					cancel()
				}
				refused[i] = kinesistest.Error{Code: rateExceeded, Message: "Rate exceeded"}
			}
		}
		return nil, refused
	})
	batch := rows("s", 7, 700)
	err := open(t, f.Endpoint(), kinesis.Config{AggregateBytes: 1 << 10}).Write(ctx, batch)
	failed, permanent := verdict(err, len(batch))
	if len(failed) != 100 || len(permanent) != 0 || kinesis.NeedsHand(err) || !strings.Contains(err.Error(), rateExceeded) {
		t.Fatalf("%d failed, %d for good: %v", len(failed), len(permanent), err)
	}
	for _, i := range failed {
		if string(batch[i].Key) != "host-0" {
			t.Fatalf("record %d of %s failed", i, batch[i].Key)
		}
	}
	if got := read(t, f.Endpoint(), "s", kinesis.KPL); len(got) != 600 {
		t.Errorf("%d rows are in the stream", len(got))
	}
}
