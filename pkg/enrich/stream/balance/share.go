package balance

import (
	"cmp"
	"math"
	"slices"
)

// claim is what one member says: these numbers are mine, since this generation of
// the group.
type claim struct {
	generation int32
	numbers    map[int32]hold
}

// hold is how a member has a number.
type hold bool

const (
	part  hold = false // of some of the topics that it reads, as when it reads one more since
	whole hold = true
)

// nobody is the owner of a number that waits for a revocation.
const nobody = -1

// share gives each number to one of the members, which are the indexes of claims,
// or to nobody while a member that is not to have it may still work on it.
//
// A number stays where it is, unless its owner has more than its share. Shares
// differ by one at most; those who have most get the larger ones, so that no plan
// moves fewer numbers.
func share(claims []claim, numbers int32) []int {
	present := current(claims, numbers)
	owners := slices.Clone(present)
	held := make([][]int, len(claims))
	for number, owner := range owners {
		if owner != nobody {
			held[owner] = append(held[owner], number)
		}
	}
	room := quotas(held, int(numbers))
	for m, has := range held {
		kept := min(len(has), room[m])
		for _, number := range has[kept:] {
			owners[number] = nobody
		}
		room[m] -= kept
	}
	fill(owners, room)
	withhold(owners, present, claims)
	return owners
}

// current tells who owns each number: who claims it by the highest generation. A
// member that missed rebalances claims what has been given to others since. Two
// that claim a number by one generation are both to let go of it.
func current(claims []claim, numbers int32) []int {
	owners := make([]int, numbers)
	since := make([]int32, numbers)
	for i := range owners {
		owners[i], since[i] = nobody, math.MinInt32
	}
	for m, c := range claims {
		for number := range c.numbers {
			switch {
			case c.generation > since[number]:
				owners[number], since[number] = m, c.generation
			case c.generation == since[number]:
				owners[number] = nobody
			}
		}
	}
	return owners
}

// quotas is how many numbers each member is to have.
func quotas(held [][]int, numbers int) []int {
	order := make([]int, len(held))
	for m := range order {
		order[m] = m
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(held[b]), len(held[a])) })
	quota := make([]int, len(held))
	for rank, m := range order {
		quota[m] = numbers / len(held)
		if rank < numbers%len(held) {
			quota[m]++
		}
	}
	return quota
}

// fill gives the numbers that have no owner to those who have room for more.
func fill(owners, room []int) {
	m := 0
	for number, owner := range owners {
		if owner != nobody {
			continue
		}
		for room[m] == 0 {
			m++
		}
		owners[number] = m
		room[m]--
	}
}

// withhold takes back from the plan what a member would be given while another one
// claims it: however old the claim, its member may not have noticed. All who claim
// it learn that it is not theirs, let go of it and join again; then it is free.
func withhold(owners, present []int, claims []claim) {
	claimants := make([]int, len(owners))
	for _, c := range claims {
		for number := range c.numbers {
			claimants[number]++
		}
	}
	for number, owner := range owners {
		moves := owner != present[number] && claimants[number] > 0
		grows := claimants[number] > 1 && claims[owner].numbers[int32(number)] == part
		if moves || grows {
			owners[number] = nobody
		}
	}
}
