package event

import (
	"encoding/json"
	"strconv"
	"time"
)

// Names of the schemas of the records that logger-ext writes of its own.
const (
	SchemaGap       = "stackjoin.gap/1"
	SchemaHeartbeat = "stackjoin.heartbeat/1"
)

// Marker takes the place of what is missing on a topic: calls that were lost, a
// row that could not be sent, a time in which osqueryd had no way to us. With its
// Delivery it is named by the last call that is missing, or by the row.
type Marker struct {
	// Reason is a fixed word: dropped, unwritable, damaged, oversized, refused,
	// unreadable, unregistered.
	Reason string
	// Policy is the setting that dropped: drop_oldest, drop_newest; empty with
	// other reasons.
	Policy string
	// From is the seq of the first call that is missing, 0 where none is; Calls
	// is how many are.
	From, Calls uint64
	// Bytes is the size of what is missing, 0 where it is not known.
	Bytes int64
	// Possible says that nothing tells whether the calls were for this topic.
	Possible bool
	// Since and Until bound the time of an absence.
	Since, Until time.Time
}

// Append appends the marker as one JSON object, to which AppendDelivery adds its
// name.
func (m *Marker) Append(dst []byte) []byte {
	dst = append(append(append(dst, `{"kind":"gap","reason":"`...), m.Reason...), '"')
	if m.Policy != "" {
		dst = append(append(append(dst, `,"policy":"`...), m.Policy...), '"')
	}
	if m.From > 0 {
		dst = strconv.AppendUint(append(dst, `,"from":`...), m.From, 10)
	}
	dst = strconv.AppendUint(append(dst, `,"calls":`...), m.Calls, 10)
	if m.Bytes > 0 {
		dst = strconv.AppendInt(append(dst, `,"bytes":`...), m.Bytes, 10)
	}
	if m.Possible {
		dst = append(dst, `,"possible":true`...)
	}
	if !m.Until.IsZero() {
		dst = append(AppendTime(append(dst, `,"since":"`...), m.Since), '"')
		dst = append(AppendTime(append(dst, `,"until":"`...), m.Until), '"')
	}
	return append(dst, '}')
}

// Beat is a heartbeat: it says that a sender lives, and how it fares.
type Beat struct {
	// Version is the sender's, Config the hash of its configuration.
	Version, Config string
	// ConfigState is ok, last_good (the file is wrong) or none (nothing is shipped).
	ConfigState string
	// Clock is the host's clock; Started is when the sender started.
	Clock, Started time.Time
	Spool          SpoolDepth
	// Lost counts calls that were lost since Started, by a Marker's reason or
	// policy.
	Lost map[string]uint64
}

// SpoolDepth is what waits to be sent.
type SpoolDepth struct {
	// Bytes are those on disk; Calls wait to be delivered.
	Bytes int64
	Calls uint64
	// Oldest is when the oldest of them was spooled; zero when none waits.
	Oldest time.Time
}

// Append appends the heartbeat as one JSON object, to which AppendDelivery adds
// its name.
func (h *Beat) Append(dst []byte) []byte {
	age := int64(0)
	if !h.Spool.Oldest.IsZero() {
		age = max(0, h.Clock.Sub(h.Spool.Oldest).Milliseconds())
	}
	dst = AppendString(append(dst, `{"kind":"heartbeat","version":`...), h.Version)
	dst = AppendString(append(dst, `,"config":`...), h.Config)
	dst = AppendString(append(dst, `,"config_state":`...), h.ConfigState)
	dst = append(AppendTime(append(dst, `,"clock":"`...), h.Clock), '"')
	dst = append(AppendTime(append(dst, `,"started":"`...), h.Started), '"')
	dst = strconv.AppendInt(append(dst, `,"spool":{"bytes":`...), h.Spool.Bytes, 10)
	dst = strconv.AppendUint(append(dst, `,"calls":`...), h.Spool.Calls, 10)
	dst = strconv.AppendInt(append(dst, `,"oldest_age_ms":`...), age, 10)
	dst = append(dst, `},"lost":`...)
	lost, err := json.Marshal(h.Lost) // sorts the keys; a map of numbers cannot fail
	if err != nil || h.Lost == nil {
		lost = []byte("{}")
	}
	return append(append(dst, lost...), '}')
}
