package lease

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Workers that come, go and die, each seeing the table as it is when it looks: in the
// end every lease that may be read has one living holder, the shares differ by no more
// than one, and then nobody wants anything any more.
func TestLeasesAreDividedEvenly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		leases := make([]*Lease, rapid.IntRange(1, 40).Draw(rt, "shards"))
		for i := range leases {
			leases[i] = &Lease{Key: fmt.Sprintf("shardId-%012d", i)}
		}
		workers := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{3}`), 1, 8, rapid.ID[string]).Draw(rt, "workers")
		for _, l := range leases {
			if rapid.Bool().Draw(rt, "held") {
				l.Owner = rapid.SampledFrom(append([]string{"dead"}, workers...)).Draw(rt, "owner")
			}
		}
		expired := func(l *Lease) bool { return l.Holder() == "dead" }
		for range 20 * len(leases) {
			me := rapid.SampledFrom(workers).Draw(rt, "turn")
			step(me, leases, expired)
			if rapid.Bool().Draw(rt, "finish") { // a holder gives up what it was asked for
				for _, l := range leases {
					l.Finishing = ""
				}
			}
		}
		for range len(leases) + 1 {
			for _, me := range workers {
				step(me, leases, expired)
			}
			for _, l := range leases {
				l.Finishing = ""
			}
		}
		loads := map[string]int{}
		for _, l := range leases {
			if l.Owner == "" || l.Owner == "dead" {
				rt.Fatalf("%s is %q's", l.Key, l.Owner)
			}
			loads[l.Owner]++
		}
		for _, a := range workers {
			for _, b := range workers {
				if loads[a] > loads[b]+1 {
					rt.Fatalf("shares %v", loads)
				}
			}
			if p := makePlan(a, leases, expired); len(p.take)+len(p.ask) > 0 {
				rt.Fatalf("%s wants %d and asks for %d, of %v", a, len(p.take), len(p.ask), loads)
			}
		}
	})
}

// step does what a worker plans.
func step(me string, leases []*Lease, expired func(*Lease) bool) {
	p := makePlan(me, leases, expired)
	for _, l := range p.take {
		l.Owner, l.Finishing = me, ""
	}
	for _, l := range p.ask {
		l.Owner, l.Finishing = me, l.Owner
	}
}

func TestAShardWaitsForItsParents(t *testing.T) {
	ended, open := Progress{Checkpoint: Checkpoint{Sequence: ShardEnd}}, Progress{Checkpoint: Checkpoint{Sequence: "12"}}
	child := &Lease{Key: "c", Parents: []string{"a", "b"}}
	for name, c := range map[string]struct {
		leases []*Lease
		listed []string
		want   bool
	}{
		"both are finished":                     {[]*Lease{{Key: "a", Progress: ended}, {Key: "b", Progress: ended}}, []string{"a", "b"}, true},
		"one is not":                            {[]*Lease{{Key: "a", Progress: ended}, {Key: "b", Progress: open}}, nil, false},
		"one has no lease yet":                  {[]*Lease{{Key: "a", Progress: ended}}, []string{"a", "b"}, false},
		"Kinesis has forgotten one":             {[]*Lease{{Key: "a", Progress: ended}}, []string{"a"}, true},
		"Kinesis has forgotten one being read":  {[]*Lease{{Key: "a", Progress: open}}, nil, false},
		"Kinesis has forgotten both, long read": {nil, nil, true},
	} {
		leases, listed := map[string]*Lease{}, map[string]bool{}
		for _, l := range c.leases {
			leases[l.Key] = l
		}
		for _, key := range c.listed {
			listed[key] = true
		}
		if got := begun(child, leases, listed); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestSequenceNumbersAreComparedAsNumbers(t *testing.T) {
	order := []Checkpoint{{"9", 0}, {"10", 0}, {"10", 1}, {"10", 12}, {"495", 0}, {"496", 0}}
	for i, a := range order {
		for j, b := range order {
			if got := a.Compare(b); got < 0 != (i < j) || got == 0 != (i == j) {
				t.Errorf("%v to %v: %d", a, b, got)
			}
		}
	}
}
