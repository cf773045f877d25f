// Package topicplan compares the topics that the enricher needs with those that a
// cluster has, and changes what differs.
//
// It must never do what could lose a record: such a change is refused, with what
// to do instead, and then nothing at all is changed. It must not touch a setting
// that it does not need, or a topic that the configuration does not name.
package topicplan

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Settings are what the configuration says of topics.
type Settings struct {
	Inputs  []string
	Outputs []string // enriched rows, findings, dead letters
	State   string   // changelog of the joins' state, compacted
	Side    string   // records about hosts that did not come with their rows
	Group   string
	// Routed are the inputs of stage 1, that do not come keyed by hosts; with any there
	// is the topic of its state, Route, which is its group's name too, and that of Facts.
	Routed       []string
	Route, Facts string
	// Transactions says that the enricher uses them.
	Transactions bool
	// Partitions of the inputs, and so of what is joined with them; 0 is what
	// the inputs have, and defaultPartitions where there are none.
	Partitions int32
	// Replicas of each partition; 0 is safeReplicas where there are as many
	// brokers, else what the brokers say.
	Replicas int16
	// Retention of inputs that are created, and of outputs; 0 leaves it alone.
	Retention time.Duration
	// Window is the least retention of the side topic.
	Window time.Duration
	// MaxMessageBytes is the least that each topic must take.
	MaxMessageBytes int
}

const (
	defaultPartitions = 12
	// With three replicas, two of which must have each record, one broker can
	// be away without loss and without a stop.
	safeReplicas = 3
	safeInSync   = 2
	// ask leaves a number to the brokers.
	ask = -1
)

// Topic settings that are ours, by Kafka's names.
const (
	cleanupPolicy  = "cleanup.policy"
	compression    = "compression.type"
	maxBytes       = "max.message.bytes"
	minInSync      = "min.insync.replicas"
	retention      = "retention.ms"
	timestampType  = "message.timestamp.type"
	partitionCount = "partitions"
	replicaCount   = "replicas"
)

// rule says when a setting of a topic that exists is to be changed.
type rule uint8

const (
	created rule = iota // only set when the topic is created
	exact               // when it differs
	atLeast             // when it is less
)

type setting struct {
	key, value string
	rule       rule
}

// topic is what one topic is to be.
type topic struct {
	name     string
	joined   bool // its partitions are joined with the inputs' by number
	routed   bool // or with those of Routed
	settings []setting
}

// wanted is all topics, inputs first. Kafka's own clock stamps all of them: what
// is merged is merged by append time, and a host's wrong clock deletes nothing.
func (s Settings) wanted() []topic {
	var all []topic
	for _, name := range s.Inputs {
		all = append(all, topic{name: name, joined: true, settings: append(s.common(created), s.kept(created)...)})
	}
	for _, name := range s.Routed {
		all = append(all, topic{name: name, routed: true, settings: append(s.common(created), s.kept(created)...)})
	}
	for _, name := range s.Outputs {
		all = append(all, topic{name: name, settings: append(s.common(exact), s.kept(exact)...)})
	}
	state := append(s.common(exact), setting{cleanupPolicy, "compact", exact})
	side := append(s.common(exact), setting{cleanupPolicy, "delete", exact},
		setting{retention, milliseconds(max(s.Window, s.Retention)), atLeast})
	all = append(all, topic{name: s.State, joined: true, settings: state}, topic{name: s.Side, joined: true, settings: side})
	if len(s.Routed) > 0 {
		all = append(all, topic{name: s.Route, routed: true, settings: state}, topic{name: s.Facts, settings: state})
	}
	return distinct(all)
}

// distinct keeps the first topic of each name: two outputs may go to one topic.
func distinct(all []topic) (kept []topic) {
	seen := map[string]bool{}
	for _, t := range all {
		if !seen[t.name] {
			kept = append(kept, t)
		}
		seen[t.name] = true
	}
	return kept
}

// common is what holds for each topic. Of inputs that exist, which others write,
// only the clock is ours.
func (s Settings) common(mine rule) []setting {
	least := mine
	if mine == exact {
		least = atLeast
	}
	return []setting{
		{timestampType, "LogAppendTime", exact},
		{compression, "producer", mine},
		{maxBytes, strconv.Itoa(s.MaxMessageBytes), least},
		{minInSync, "", least}, // follows from the replicas
	}
}

// kept is for topics that keep records for a time.
func (s Settings) kept(mine rule) []setting {
	all := []setting{{cleanupPolicy, "delete", mine}}
	if s.Retention > 0 {
		all = append(all, setting{retention, milliseconds(s.Retention), mine})
	}
	return all
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// partitions is how many the inputs are to have.
func (s Settings) partitions(have Cluster) int32 {
	if s.Partitions > 0 {
		return s.Partitions
	}
	for _, name := range s.Inputs {
		if t, ok := have.topics[name]; ok {
			return t.partitions
		}
	}
	return defaultPartitions
}

// routes is how many the inputs of stage 1 are to have: what the first that exists has.
func (s Settings) routes(have Cluster) int32 {
	for _, name := range s.Routed {
		if t, ok := have.topics[name]; ok {
			return t.partitions
		}
	}
	return s.partitions(have)
}

// replicas is how many each partition of a topic that is created is to have.
func (s Settings) replicas(have Cluster) int16 {
	switch {
	case s.Replicas > 0:
		return s.Replicas
	case have.brokers >= safeReplicas:
		return safeReplicas
	}
	return ask
}

// inSync is how many replicas must have a record before it counts as written.
func inSync(replicas int16) string { return fmt.Sprint(max(1, min(safeInSync, replicas-1))) }

// less compares numbers as Kafka means them: -1 is without a limit. What is no
// number is never less.
func less(a, b string) bool {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX != nil || errY != nil || x < 0 {
		return false
	}
	return y < 0 || cmp.Less(x, y)
}
