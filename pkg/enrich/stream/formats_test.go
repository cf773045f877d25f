package stream_test

import (
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stackjoin/stackjoin/internal/jointest"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// Promise 10, and DESIGN 6.3 on formats: writers of the last two formats take each
// other's place over twenty rebalances, as in an upgrade that is rolled back and tried
// again, and nothing is lost: the final records are those of a calm run. Where rows
// were read, which the older format does not hold, is left out of the comparison.
func TestTwoFormatsAlternateOnOneGroup(t *testing.T) {
	t.Parallel()
	const rebalances = 20
	seed := rand.Uint64()
	t.Log("seed", seed)
	parts := jointest.Tales(in, rand.New(rand.NewPCG(seed, 0)), rebalances)
	calm := calmly(t, parts)

	_, cfg := cluster(t)
	cfg.Connection = append(cfg.Connection, quick()...)
	dirs := []string{t.TempDir(), t.TempDir()}
	stop := func() {}
	for i, part := range parts {
		cfg.StateFormat, cfg.StateDir = state.Format-i%2, dirs[i%2]
		next := running(t, cfg, 1, jointest.Job(io.Discard)) // one joins, then one leaves
		send(t, cfg, part)
		stop()
		stop = next
		collect(t, cfg, out, 0)
	}
	got := finals(t, cfg, parts)
	if len(got) != len(calm) {
		t.Errorf("%d events, %d in calm", len(got), len(calm))
	}
	for _, id := range slices.Sorted(maps.Keys(calm)) {
		if want, have := unplaced(calm[id]), unplaced(got[id]); !reflect.DeepEqual(have, want) {
			t.Fatalf("%s:\n%v\nand in calm\n%v", id, have, want)
		}
	}
}

// unplaced is an enriched record without its evidence.
func unplaced(record any) any {
	v, _ := record.(map[string]any)
	enrichment, _ := v["enrichment"].(map[string]any)
	delete(enrichment, "evidence")
	return v
}
