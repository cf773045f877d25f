//go:build chaos

package chaos

import "time"

// What make chaos does.
const (
	killSeeds  = 500
	outage     = 3 * time.Minute
	quotaBytes = 1 << 30
	// pingLimit is how long a ping may take in a small quota.
	pingLimit = time.Second
)
