package balance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich/stream/balance"
)

// Members come, go, forget what they had, and miss rebalances and come back with
// what they had then. After each rebalance no number has two owners; after two at
// most every number has one, shares are even, and nothing moved without need.
func TestEveryNumberIsOneMembersWhateverMembersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGroup(t, rapid.Int32Range(1, 40).Draw(t, "numbers"))
		g.join()
		g.settle()
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"join": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "n") {
					g.join()
				}
				g.minimal(t)
			},
			"leave": func(t *rapid.T) {
				if len(g.members) > 1 {
					delete(g.members, any1(t, g.members))
					g.minimal(t)
				}
			},
			"forget": func(t *rapid.T) {
				m := g.members[any1(t, g.members)]
				m.owned, m.generation = nil, -1
				g.minimal(t)
			},
			"miss": func(t *rapid.T) {
				if len(g.members) > 1 {
					id := any1(t, g.members)
					g.absent[id] = g.members[id]
					delete(g.members, id)
					g.minimal(t)
				}
			},
			"return": func(t *rapid.T) {
				for id, m := range g.absent {
					g.members[id] = m
					delete(g.absent, id)
				}
				g.settle()
			},
			"half": func(t *rapid.T) { // somebody joins between the two rebalances
				g.join()
				g.rebalance()
				g.join()
				g.settle()
			},
			"nothing": func(t *rapid.T) {
				before := g.owners()
				if g.rebalance() || moved(before, g.owners()) > 0 {
					t.Fatalf("numbers moved although nothing changed")
				}
			},
		})
	})
}

// Two members that claim a number by one generation, as after a change from a
// balancer that does not keep numbers together, both let go of it first.
func TestWhatTwoClaimAlikeIsGivenToNeitherAtOnce(t *testing.T) {
	g := newGroup(t, 4)
	g.join()
	g.join()
	g.settle()
	for _, m := range g.members {
		m.owned = []int32{0, 1, 2, 3}
	}
	g.generation++
	for id, topics := range g.plan() {
		if len(topics) > 0 {
			t.Errorf("%s has %v", id, topics)
		}
	}
	g.settle()
}

// A member that reads one topic more than before gets its numbers of it at once,
// but not while a member from the past claims them.
func TestATopicMoreComesWithTheNumbersOfTheOthers(t *testing.T) {
	g := newGroup(t, 6)
	b := g.balancer
	old := b.JoinGroupMetadata([]string{"results", "side"}, map[string][]int32{"results": {0, 1, 2, 3, 4, 5}}, 7)
	past := b.JoinGroupMetadata([]string{"results", "side"}, map[string][]int32{"side": {1}}, 3)
	balancer, _, err := b.MemberBalancer([]kmsg.JoinGroupResponseMember{{MemberID: "old", ProtocolMetadata: old}, {MemberID: "past", ProtocolMetadata: past}})
	if err != nil {
		t.Fatal(err)
	}
	into, err := balancer.(kgo.GroupMemberBalancerOrError).BalanceOrError(g.partitions)
	if err != nil {
		t.Fatal(err)
	}
	plan := into.(*kgo.BalancePlan).AsMemberIDMap()
	want := []int32{0, 2} // 1 is claimed twice, 3 to 5 are to move
	if !slices.Equal(plan["old"]["results"], want) || !slices.Equal(plan["old"]["side"], want) || len(plan["past"]) > 0 {
		t.Errorf("plan %v, want %v of both topics for the old member alone", plan, want)
	}
}

// Kafka rebalances when a member's metadata change: they do not by themselves.
func TestMetadataAreTheSameBytesEachTime(t *testing.T) {
	m := &member{id: "m", generation: 3, owned: []int32{1, 2, 5}, topics: []string{"a", "b", "c", "d"}}
	first := m.metadata(balance.Copartition(""))
	for range 50 {
		if again := m.metadata(balance.Copartition("")); string(again) != string(first) {
			t.Fatalf("%q, then %q", first, again)
		}
	}
}

func TestTopicsOfDifferentSizesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		topics map[string]int32
		words  []string
	}{
		"equal":   {map[string]int32{"a": 6, "b": 6}, nil},
		"one":     {map[string]int32{"a": 6}, nil},
		"none":    {nil, nil},
		"unequal": {map[string]int32{"a": 6, "b": 12, "c": 6}, []string{"a has 6", "b has 12", "rekey"}},
		"unknown": {map[string]int32{"a": 6, "b": 0}, []string{"b has no partitions"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := balance.Check(c.topics)
			if (err != nil) != (c.words != nil) {
				t.Fatalf("got %v", err)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		})
	}
}

func TestAGroupOverTopicsOfDifferentSizesIsNotBalanced(t *testing.T) {
	b := balance.Copartition("")
	m := member{generation: -1, topics: []string{"results", "side"}}
	for _, partitions := range []map[string]int32{{"results": 4, "side": 6}, {"results": 4}} {
		balancer, _, err := b.MemberBalancer([]kmsg.JoinGroupResponseMember{{MemberID: "m", ProtocolMetadata: m.metadata(b)}})
		if err != nil {
			t.Fatal(err)
		}
		if into, err := balancer.(kgo.GroupMemberBalancerOrError).BalanceOrError(partitions); err == nil {
			t.Errorf("%v: plan %v", partitions, into)
		}
	}
}

// Metadata come from other members: whatever they are, the balancer fails or gives
// each number once.
func FuzzBalance(f *testing.F) {
	b := balance.Copartition("")
	f.Add((&member{generation: 2, owned: []int32{0, 3}, topics: []string{"results", "side"}}).metadata(b), []byte{})
	f.Add(kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{"results"}, map[string][]int32{"results": {1}}, 4), []byte{0, 1})
	f.Add([]byte{0, 1, 0, 0, 0, 0}, []byte("x"))
	f.Add(b.JoinGroupMetadata([]string{"results", "results", "side"}, nil, 1), b.JoinGroupMetadata([]string{"side"}, nil, 1))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		balancer, _, err := b.MemberBalancer([]kmsg.JoinGroupResponseMember{{MemberID: "a", ProtocolMetadata: one}, {MemberID: "b", ProtocolMetadata: two}})
		if err != nil {
			return
		}
		into, err := balancer.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{"results": 4, "side": 4})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for id, topics := range into.(*kgo.BalancePlan).AsMemberIDMap() {
			for topic, numbers := range topics {
				for _, n := range numbers {
					at := fmt.Sprint(topic, n)
					if seen[at] || n < 0 || n > 3 {
						t.Errorf("%s/%d is given to %s, and was given before", topic, n, id)
					}
					seen[at] = true
				}
			}
		}
	})
}
