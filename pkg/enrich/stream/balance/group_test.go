package balance_test

import (
	"fmt"
	"maps"
	"slices"

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
		t: t, balancer: balance.Copartition(""), partitions: map[string]int32{"results": numbers, "side": numbers},
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

// minimal settles, and wants no more to have moved than had to.
func (g *group) minimal(t *rapid.T) {
	before, want := g.owners(), g.fewest()
	g.settle()
	if got := moved(before, g.owners()); got != want {
		t.Fatalf("%d numbers moved, %d had to", got, want)
	}
}
