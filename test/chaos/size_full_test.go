//go:build chaos

package chaos

import "time"

// What make chaos does.
const (
	enricherSeeds = 300
	killSeeds     = 500
	outage        = 3 * time.Minute
	quotaBytes    = 1 << 30
	// pingLimit is how long a ping may take in a small quota.
	pingLimit = time.Second
	// patience is how long what must happen may take: what three minutes leave
	// behind goes out at max_cpu, after a random wait.
	patience = 10 * time.Minute

	// kinesisSeeds are on the Kinesis in memory, the others on kinesis-local.
	kinesisSeeds, localSeeds, manyRowsSeeds = 100, 10, 100
	firehoseSeeds                           = 20
	// Those that read kinesis-local tell so many rows each.
	kinesisJoinSeeds, kinesisReshardSeeds, kinesisFanOutSeeds, kinesisChainSeeds = 100, 100, 20, 100
	kinesisRouteSeeds                                                            = 50
	rowsOfKinesis, callsOfChain                                                  = 10_000, 100
)
