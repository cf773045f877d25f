//go:build chaos

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// The same for an hour, or for $CHAOS_FOR, in one run.
func TestEnrichersLoseAndRepeatNothingForAnHour(t *testing.T) {
	least := time.Hour
	if text := os.Getenv("CHAOS_FOR"); text != "" {
		var err error
		least, err = time.ParseDuration(text)
		must(t, err)
	}
	kafka := kafkatest.RealCluster(t, 3)
	seed := seeds(t, 1)[0]
	t.Logf("SEED=%d", seed)
	j := newJoin(t, kafka, buildEnricher(t), fmt.Sprintf("long-%d", seed), fmt.Sprintf("rows-%d", seed))
	j.disturb(rand.New(rand.NewPCG(seed, 0)), least)
	j.asCalm()
}
