//go:build e2e && !chaos

package chaos

import "time"

// What a change can wait for.
const (
	killSeeds  = 10
	outage     = 20 * time.Second
	quotaBytes = 256 << 20
)
