package balance_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich/stream/balance"
)

// member is one consumer: what it works on, and since which generation.
type member struct {
	id         string
	generation int32
	owned      []int32
	topics     []string
}

// group is a consumer group and the coordinator's part in it, with the balancer
// under test called as the client calls it, bytes and all.
type group struct {
	t          fataler
	balancer   kgo.GroupBalancer
	partitions map[string]int32
	members    map[string]*member // those that join the next rebalance
	absent     map[string]*member // those that are still in the past
	generation int32
	named      int
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func newGroup(t fataler, numbers int32) *group {
	return &group{
		t: t, balancer: balance.Copartition(), partitions: map[string]int32{"results": numbers, "side": numbers},
		members: map[string]*member{}, absent: map[string]*member{},
	}
}

func (g *group) numbers() int { return int(g.partitions["results"]) }

func (g *group) join() {
	g.named++
	id := fmt.Sprintf("m%03d", g.named)
	g.members[id] = &member{id: id, generation: -1, topics: []string{"results", "side"}}
}

func (m *member) metadata(b kgo.GroupBalancer) []byte {
	owned := map[string][]int32{}
	for _, topic := range m.topics {
		if len(m.owned) > 0 {
			owned[topic] = slices.Clone(m.owned)
		}
	}
	return b.JoinGroupMetadata(slices.Clone(m.topics), owned, m.generation)
}

// plan asks the balancer for everybody's partitions.
func (g *group) plan() map[string]map[string][]int32 {
	g.t.Helper()
	var joined []kmsg.JoinGroupResponseMember
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		joined = append(joined, kmsg.JoinGroupResponseMember{MemberID: id, ProtocolMetadata: g.members[id].metadata(g.balancer)})
	}
	b, topics, err := g.balancer.MemberBalancer(joined)
	if err != nil {
		g.t.Fatalf("members: %v", err)
	}
	if len(topics) != 2 {
		g.t.Fatalf("topics %v", topics)
	}
	into, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(g.partitions)
	if err != nil {
		g.t.Fatalf("balance: %v", err)
	}
	out := map[string]map[string][]int32{}
	for _, a := range into.IntoSyncAssignment() {
		if out[a.MemberID], err = g.balancer.ParseSyncAssignment(a.MemberAssignment); err != nil {
			g.t.Fatalf("assignment: %v", err)
		}
	}
	return out
}

// owners is who works on each number, by its own word. Those in the past count:
// they have not noticed yet.
func (g *group) owners() map[int32][]string {
	owners := map[int32][]string{}
	for _, m := range g.members {
		for _, n := range m.owned {
			owners[n] = append(owners[n], m.id)
		}
	}
	return owners
}

// rebalance lets all members join and take what they are given. It wants what must
// hold after each, and tells whether any member let go of a number, which makes it
// join again.
func (g *group) rebalance() (again bool) {
	g.t.Helper()
	before := g.owners()
	given := map[int32]string{}
	plan := g.plan()
	g.generation++
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		numbers := plan[id]["results"]
		if !slices.Equal(numbers, plan[id]["side"]) {
			g.t.Fatalf("%s has %v of results and %v of side", id, numbers, plan[id]["side"])
		}
		for _, n := range numbers {
			if other, taken := given[n]; taken {
				g.t.Fatalf("number %d is given to %s and %s", n, other, id)
			}
			given[n] = id
			if !slices.Contains(m.owned, n) && len(before[n]) > 0 {
				g.t.Fatalf("number %d is given to %s while %v work on it", n, id, before[n])
			}
		}
		again = again || slices.ContainsFunc(m.owned, func(n int32) bool { return !slices.Contains(numbers, n) })
		m.owned, m.generation = numbers, g.generation
	}
	for n := range int32(g.numbers()) {
		if given[n] == "" && len(before[n]) == 0 {
			g.t.Fatalf("number %d is nobody's, and nobody has to let go of it", n)
		}
	}
	return again
}

// settle rebalances until nobody joins again.
func (g *group) settle() {
	g.t.Helper()
	for round := 0; g.rebalance(); round++ {
		if round == 1 {
			g.t.Fatalf("a third rebalance is needed")
		}
	}
	g.settled()
}

// settled wants every number to be one member's, and shares that differ by one.
func (g *group) settled() {
	g.t.Helper()
	owners := g.owners()
	least, most := g.numbers(), 0
	for _, m := range g.members {
		least, most = min(least, len(m.owned)), max(most, len(m.owned))
	}
	if most-least > 1 || len(owners) != g.numbers() {
		g.t.Fatalf("%d of %d numbers are given, from %d to %d each", len(owners), g.numbers(), least, most)
	}
	for n, of := range owners {
		if len(of) != 1 {
			g.t.Fatalf("number %d is of %v", n, of)
		}
	}
}

// fewest is the smallest number of numbers that can change hands: those of nobody,
// and what is above the shares, of which those who have most get the larger.
func (g *group) fewest() int {
	owners := g.owners()
	moves := g.numbers() - len(owners)
	var counts []int
	for _, m := range g.members {
		counts = append(counts, len(m.owned))
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	for i, n := range counts {
		share := g.numbers() / len(counts)
		if i < g.numbers()%len(counts) {
			share++
		}
		moves += max(0, n-share)
	}
	return moves
}

func moved(before, after map[int32][]string) (n int) {
	for number, owners := range after {
		if !slices.Equal(before[number], owners) {
			n++
		}
	}
	return n
}

func any1(t *rapid.T, m map[string]*member) string {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(t, "member")
}

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

// minimal settles, and wants no more to have moved than had to.
func (g *group) minimal(t *rapid.T) {
	before, want := g.owners(), g.fewest()
	g.settle()
	if got := moved(before, g.owners()); got != want {
		t.Fatalf("%d numbers moved, %d had to", got, want)
	}
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
	first := m.metadata(balance.Copartition())
	for range 50 {
		if again := m.metadata(balance.Copartition()); string(again) != string(first) {
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
	b := balance.Copartition()
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
	b := balance.Copartition()
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
