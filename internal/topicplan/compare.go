package topicplan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one difference between what is wanted and what is there.
type Change struct {
	Topic string `json:"topic"`
	// Create is set for a topic that is not there.
	Create *Creation `json:"create,omitempty"`
	// Key is a setting by Kafka's name, or partitions, or replicas.
	Key  string `json:"key,omitempty"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Refused says why this is not done, and what to do.
	Refused string `json:"refused,omitempty"`
}

// Creation is what a topic is created with. Replicas of -1 are the brokers' default.
type Creation struct {
	Partitions int32             `json:"partitions"`
	Replicas   int16             `json:"replicas"`
	Settings   map[string]string `json:"settings"`
}

// String is one line for a person.
func (c Change) String() string {
	switch {
	case c.Create != nil:
		return fmt.Sprintf("+ %s: %s", c.Topic, c.Create)
	case c.Refused != "":
		return fmt.Sprintf("! %s: %s %s -> %s is refused: %s", c.Topic, c.Key, c.From, c.To, c.Refused)
	}
	return fmt.Sprintf("~ %s: %s %s -> %s", c.Topic, c.Key, c.From, c.To)
}

// String is the words of Change.String.
func (c *Creation) String() string {
	words := []string{fmt.Sprintf("%d partitions", c.Partitions), fmt.Sprintf("%d replicas", c.Replicas)}
	if c.Replicas == ask {
		words[1] = "replicas as the brokers say"
	}
	for _, key := range slices.Sorted(maps.Keys(c.Settings)) {
		words = append(words, key+"="+c.Settings[key])
	}
	return strings.Join(words, ", ")
}

// Plan is all changes, in the order of the topics: inputs, outputs, and the enricher's
// own.
type Plan []Change

// Refused is the changes that are not to be made.
func (p Plan) Refused() Plan {
	return slices.DeleteFunc(slices.Clone(p), func(c Change) bool { return c.Refused == "" })
}

// Compare tells what has to change for have to be as the settings say.
func Compare(s Settings, have Cluster) Plan {
	var plan Plan
	joined, routed := s.partitions(have), s.routes(have)
	for _, t := range s.wanted() {
		partitions := joined
		if t.routed {
			partitions = routed
		}
		there, ok := have.topics[t.name]
		if !ok {
			plan = append(plan, creation(t, partitions, s.replicas(have)))
			continue
		}
		d := differences{topic: t.name, there: there}
		if t.joined || t.routed {
			d.count(partitions)
		}
		if s.Replicas > 0 && there.replicas != s.Replicas {
			d.add(replicaCount, fmt.Sprint(there.replicas), fmt.Sprint(s.Replicas),
				"replicas are moved by kafka-reassign-partitions, at a time and speed that you choose")
		}
		for _, want := range t.settings {
			d.setting(want)
		}
		plan = append(plan, d.found...)
	}
	return plan
}

func creation(t topic, partitions int32, replicas int16) Change {
	c := Creation{Partitions: partitions, Replicas: replicas, Settings: map[string]string{}}
	for _, want := range t.settings {
		if want.key == minInSync {
			want.value = inSync(replicas)
		}
		c.Settings[want.key] = want.value
	}
	return Change{Topic: t.name, Create: &c}
}

// differences gathers those of one topic that exists.
type differences struct {
	topic string
	there existing
	found Plan
}

func (d *differences) add(key, from, to, refused string) {
	d.found = append(d.found, Change{Topic: d.topic, Key: key, From: from, To: to, Refused: refused})
}

// count compares partitions. Kafka can only add some, and a key's partition is its
// hash by their number.
func (d *differences) count(want int32) {
	refused := ""
	switch {
	case want == d.there.partitions:
		return
	case d.there.holds:
		refused = "it holds records, whose keys would belong to other partitions: write them anew with `enricher reshard`"
	case want < d.there.partitions:
		refused = "Kafka takes no partitions away: delete this topic, which is empty, and apply again"
	}
	d.add(partitionCount, fmt.Sprint(d.there.partitions), fmt.Sprint(want), refused)
}

func (d *differences) setting(want setting) {
	if want.key == minInSync {
		want.value = inSync(d.there.replicas)
	}
	is := d.there.settings[want.key]
	if want.rule == created || same(want.key, is, want.value) || want.rule == atLeast && !less(is, want.value) {
		return
	}
	refused := ""
	switch {
	case !d.there.holds:
	case want.key == cleanupPolicy:
		refused = "it holds records, some of which the other policy would delete: name another topic, or change the policy by hand if they may go"
	case want.key == retention && less(want.value, is):
		refused = "it holds records, the older of which would be deleted: change it by hand if they may go"
	}
	d.add(want.key, is, want.value, refused)
}

// same compares values, of which a policy is a list in any order.
func same(key, a, b string) bool {
	if key == cleanupPolicy {
		x, y := strings.Split(a, ","), strings.Split(b, ",")
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(x, y)
	}
	return a == b
}
