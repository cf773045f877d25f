package topicplan

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func settingsOf(t *rapid.T) Settings {
	var routed []string
	if rapid.Bool().Draw(t, "routes") {
		routed = []string{"sensor", "cloudtrail"}
	}
	return Settings{
		Routed: routed, Route: "g.route", Facts: "g.facts",
		Inputs: []string{"in", "in2"}, Outputs: []string{"out", "findings", "dead"}, State: "g.state", Side: "g.side", Group: "g",
		Partitions:      rapid.Int32Range(0, 6).Draw(t, "partitions"),
		Replicas:        rapid.Int16Range(0, 4).Draw(t, "replicas"),
		Retention:       time.Duration(rapid.IntRange(0, 3).Draw(t, "retention")) * time.Hour,
		Window:          2 * time.Hour,
		MaxMessageBytes: 1000,
	}
}

func clusterOf(t *rapid.T, s Settings) Cluster {
	c := Cluster{brokers: rapid.IntRange(1, 5).Draw(t, "brokers"), topics: map[string]existing{}}
	for _, want := range s.wanted() {
		if rapid.Bool().Draw(t, "absent") {
			continue
		}
		c.topics[want.name] = existing{
			partitions: rapid.Int32Range(1, 6).Draw(t, "has"),
			replicas:   rapid.Int16Range(1, 4).Draw(t, "copies"),
			holds:      rapid.Bool().Draw(t, "holds"),
			settings: map[string]string{
				cleanupPolicy: rapid.SampledFrom([]string{"delete", "compact", "delete,compact", "compact,delete"}).Draw(t, "policy"),
				retention:     rapid.SampledFrom([]string{"-1", "1", "3600000", "7200000", "900000000"}).Draw(t, "ms"),
				timestampType: rapid.SampledFrom([]string{"CreateTime", "LogAppendTime"}).Draw(t, "clock"),
				compression:   rapid.SampledFrom([]string{"producer", "zstd"}).Draw(t, "codec"),
				maxBytes:      rapid.SampledFrom([]string{"10", "1000", "5000"}).Draw(t, "bytes"),
				minInSync:     rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "isr"),
				"segment.ms":  "5",
			},
		}
	}
	return c
}

// after is the cluster once the changes that are not refused were made.
func (c Cluster) after(plan Plan) Cluster {
	next := Cluster{brokers: c.brokers, topics: maps.Clone(c.topics)}
	for _, change := range plan {
		t := next.topics[change.Topic]
		t.settings = maps.Clone(t.settings)
		switch {
		case change.Refused != "":
		case change.Create != nil:
			t = existing{partitions: change.Create.Partitions, replicas: max(1, change.Create.Replicas), settings: change.Create.Settings}
		case change.Key == partitionCount:
			n, _ := strconv.Atoi(change.To)
			t.partitions = int32(n)
		default:
			t.settings[change.Key] = change.To
		}
		next.topics[change.Topic] = t
	}
	return next
}

// Whatever a cluster has: what is left after the changes is what was refused, and
// nothing that holds records is changed in a way that could lose one.
func TestAPlanSettlesAllButWhatItRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settingsOf(t)
		have := clusterOf(t, s)
		plan := Compare(s, have)
		left := Compare(s, have.after(plan))
		if !slices.Equal(left.lines(), plan.Refused().lines()) {
			t.Fatalf("left %v\nrefused %v", left.lines(), plan.Refused().lines())
		}
		for _, c := range plan {
			there, exists := have.topics[c.Topic]
			if c.Refused != "" || !exists {
				continue
			}
			loses := c.Key == cleanupPolicy || c.Key == partitionCount || c.Key == retention && less(c.To, c.From)
			if there.holds && loses || c.Key == replicaCount || c.Create != nil {
				t.Fatalf("%v is not refused", c)
			}
			if c.Key == minInSync && c.To == strconv.Itoa(int(there.replicas)) && there.replicas > 1 {
				t.Fatalf("%v: no replica may be away", c)
			}
		}
	})
}

func (p Plan) lines() (lines []string) {
	for _, c := range p {
		lines = append(lines, c.String())
	}
	return lines
}
