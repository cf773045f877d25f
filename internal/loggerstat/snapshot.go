// Package loggerstat is what logger-ext tells of itself: the osquery table
// stackjoin_logger, metrics for Prometheus, and whether it is healthy. All three
// are views of one Snapshot.
//
// It must never hold a row, a secret, or a label whose values come from rows, and
// never be in the way of a call: a port that is taken is told and tried again.
package loggerstat

import "time"

// ConfigState is which configuration is in use.
type ConfigState string

// States of the configuration.
const (
	ConfigOK       ConfigState = "ok"        // the file as it is
	ConfigLastGood ConfigState = "last_good" // the file is wrong; the last good one is used
	ConfigNone     ConfigState = "none"      // the file is wrong, and there is no last good one
)

// ShippingState is whether what is spooled is being sent.
type ShippingState string

// States of shipping.
const (
	ShippingRunning ShippingState = "running" // sending, or trying to
	ShippingHeld    ShippingState = "held"    // the destination refuses for a reason that somebody must mend
	ShippingOff     ShippingState = "off"     // nothing to send with
)

// Lost is what was dropped for one reason.
type Lost struct {
	Calls uint64
	Bytes uint64
}

// Snapshot is the state of logger-ext at one moment. Counters begin with the
// process. Texts must hold no secret and nothing of a row; they appear in the table
// and in /healthz, never in metrics. Whoever takes a Snapshot owns its maps.
type Snapshot struct {
	Version     string
	ConfigHash  string // of the configuration in use
	ConfigState ConfigState
	Agent       string
	Run         string

	Registered      bool
	RegisteredSince time.Time // of the present registration
	Registrations   uint64
	Absences        uint64

	// CallsAccepted and CallsFailed count osqueryd's log calls. What is in a call
	// is not looked at before it is answered, so rows are counted when they are
	// sent.
	CallsAccepted uint64
	CallsFailed   uint64

	SpoolBytes   int64 // what the spool's files take
	WaitingCalls uint64
	WaitingBytes int64
	Oldest       time.Time // when the oldest waiting call was accepted; zero: none waits

	// HeldCalls and HeldBytes are in memory because the spool is unwritable.
	HeldCalls       uint64
	HeldBytes       int64
	UnwritableSince time.Time // zero: the spool is writable
	UnwritableWhy   string

	Lost map[string]Lost // by reason, a word of the spool's

	Syncs     uint64
	SyncLast  time.Duration
	SyncTotal time.Duration

	ShippingState ShippingState
	ShippingSince time.Time // of ShippingState
	ShippingWhy   string    // why it is held or off
	// FailingSince is when the destination began to fail in a way that heals by
	// itself, such as a broker that is away; zero: the last attempt went well.
	FailingSince time.Time

	SentRecords  uint64
	SentBytes    uint64
	SendFailures uint64 // attempts to send a batch that failed
	Retries      uint64
	LastSend     time.Time
	AckLag       time.Duration // of the last batch: from spooled to acknowledged

	DeadLetters map[string]uint64 // by reason
	Markers     uint64

	LastError     string
	LastErrorTime time.Time
}

// oldestAge is how long the oldest waiting call has waited. A clock that was set
// back makes no negative age.
func (s Snapshot) oldestAge(now time.Time) time.Duration { return since(s.Oldest, now) }

func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t))
}

// lost sums what was dropped for all reasons.
func (s Snapshot) lost() (sum Lost) {
	for _, l := range s.Lost {
		sum.Calls += l.Calls
		sum.Bytes += l.Bytes
	}
	return sum
}
