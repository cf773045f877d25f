package stream

import "time"

// PartitionStatus is how one partition fares.
type PartitionStatus struct {
	Partition Partition
	// Lag is how many records of the inputs are not processed, about.
	Lag int64
	// SideLag is how many of those are on the side topic.
	SideLag int64
	// Unmerged counts the records that were taken although the topic they are merged
	// with had not brought what it held.
	Unmerged int64
	// Suspect counts the records that are tried apart, since transactions failed with them
	// or an owner died over them.
	Suspect int64
	// Restoring says that its state is being read back; Restored and Remaining
	// then count records of the state topic, and RestoredBytes what they weigh.
	Restoring           bool
	Restored, Remaining int64
	RestoredBytes       int64
	StateBytes          int64
}

// Monitor is told how a session fares. It is called from several goroutines.
type Monitor interface {
	// Partition tells of a partition held: when it came, while it restores, and
	// every few seconds from then on.
	Partition(PartitionStatus)
	// Gone says that a partition is held no more.
	Gone(Partition)
	// Ended counts a transaction: "committed", or the kind of thing it failed of
	// (processing, refused, rebalance, timeout, broker, stopped, unknown).
	Ended(how string)
}

type unwatched struct{}

func (unwatched) Partition(PartitionStatus) {}
func (unwatched) Gone(Partition)            {}
func (unwatched) Ended(string)              {}

// statusEvery is how often a partition's status is told while it runs: sizing
// the state costs a little.
const statusEvery = 5 * time.Second
