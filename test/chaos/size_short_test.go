//go:build e2e && !chaos

package chaos

import "time"

// What a change can wait for.
const (
	enricherSeeds = 5
	killSeeds     = 10
	outage        = 20 * time.Second
	quotaBytes    = 256 << 20
	// pingLimit is half of what osqueryd waits: other tests run beside these.
	pingLimit = 5 * time.Second
	// patience is how long what must happen may take on a loaded machine.
	patience = time.Minute

	// kinesisSeeds are on the Kinesis in memory, the others on kinesis-local.
	kinesisSeeds, localSeeds, manyRowsSeeds = 5, 2, 3
	firehoseSeeds                           = 2
	// Those that read kinesis-local tell so many rows each.
	kinesisJoinSeeds, kinesisReshardSeeds, kinesisFanOutSeeds, kinesisChainSeeds = 5, 2, 1, 5
	kinesisRouteSeeds                                                            = 2
	rowsOfKinesis, callsOfChain                                                  = 2_000, 100
)
