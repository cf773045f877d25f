// Package balance shares partitions out among the members of a consumer group so
// that equal numbers stay together: the member that has number p of one topic has
// number p of every topic it reads. It moves as little as it can, and members keep
// working on what they keep while a rebalance is under way.
//
// It must never give a number to a member while another one may still be working
// on it, split a number between two members, or guess when topics do not match.
package balance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocol is the balancer's name in the group. All members of a group must have
// one in common; a change of what members tell each other needs a new name.
const protocol = "stackjoin-copartition"

// Copartition returns the balancer, for kgo.Balancers. It is cooperative: a number
// that moves is revoked in one rebalance and given in the next. Members that do not
// read all of the topics get the numbers of those they read.
//
// What members tell is Kafka's ConsumerProtocolSubscription, version 3: topics,
// what they own, and the generation they own it by.
//
// name is what the member calls itself: whoever describes the group finds it as the
// member's user data. It may be empty.
func Copartition(name string) kgo.GroupBalancer { return copartition{name} }

// Check wants all topics to have the same number of partitions, which the map
// gives by name. Its error is for the person who starts the program.
func Check(partitions map[string]int32) error {
	names := slices.SortedFunc(maps.Keys(partitions), func(a, b string) int {
		return cmp.Or(cmp.Compare(partitions[a], partitions[b]), cmp.Compare(a, b))
	})
	if len(names) == 0 {
		return nil
	}
	least := partitions[names[0]]
	if least == 0 {
		return fmt.Errorf("topic %s has no partitions yet, or this user may not describe it", names[0])
	}
	if partitions[names[len(names)-1]] == least {
		return nil
	}
	var counts []string
	for _, name := range names {
		counts = append(counts, fmt.Sprintf("%s has %d", name, partitions[name]))
	}
	return fmt.Errorf("topics that are joined must have equal numbers of partitions, but %s: let the enricher key the odd ones anew (rekey: true), or create them with equal numbers",
		strings.Join(counts, ", "))
}

// copartition implements kgo.GroupBalancer, and kgo.ConsumerBalancerBalance.
type copartition struct{ name string }

func (copartition) ProtocolName() string { return protocol }
func (copartition) IsCooperative() bool  { return true }

func (copartition) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment) //nolint:wrapcheck // the client wraps it
}

// JoinGroupMetadata is the same bytes for the same input: Kafka rebalances when a
// member's metadata change.
func (c copartition) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = topics
	meta.Generation = generation
	if c.name != "" {
		meta.UserData = []byte(c.name)
	}
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, owned[topic]
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	return meta.AppendTo(nil)
}

func (c copartition) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	b, err := kgo.NewConsumerBalancer(c, members)
	if err != nil {
		return nil, nil, fmt.Errorf("what a member of the group says of itself cannot be read: %w", err)
	}
	return b, b.MemberTopics(), nil
}

// Balance is called on the group's leader.
func (copartition) Balance(b *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	var numbers int32
	counts := make(map[string]int32)
	for topic := range b.MemberTopics() {
		numbers = partitions[topic]
		counts[topic] = numbers
	}
	if err := Check(counts); err != nil {
		b.SetError(err)
		return nil
	}
	var claims []claim
	b.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		meta.Topics = slices.Compact(meta.Topics) // they are sorted; a member may be of any make
		claims = append(claims, claimOf(meta, numbers))
	})
	plan := b.NewPlan()
	for number, owner := range share(claims, numbers) {
		if owner == nobody {
			continue
		}
		member, meta := b.MemberAt(owner)
		for _, topic := range meta.Topics {
			plan.AddPartition(member, topic, int32(number))
		}
	}
	return plan
}

// claimOf is the numbers that a member says it owns, of whichever topic.
func claimOf(meta *kmsg.ConsumerMemberMetadata, numbers int32) claim {
	topics := make(map[int32]int)
	for _, owned := range meta.OwnedPartitions {
		for _, number := range owned.Partitions {
			if number >= 0 && number < numbers && slices.Contains(meta.Topics, owned.Topic) {
				topics[number]++
			}
		}
	}
	c := claim{generation: meta.Generation, numbers: make(map[int32]hold, len(topics))}
	for number, n := range topics {
		c.numbers[number] = n == len(meta.Topics)
	}
	return c
}
