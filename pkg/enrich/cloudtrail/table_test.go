package cloudtrail

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func second(n int) time.Time { return time.Date(2026, 11, 23, 10, 0, n, 0, time.UTC) }

// issued is the issue of key to whoever holds parent.
func issued(key, parent string, n int) Fact {
	return Fact{
		Kind: FactIssuedKey, Subject: key, EventID: fmt.Sprintf("e%d-%s", n, parent), Account: "111122223333", Time: second(n), Via: "AssumeRole",
		Actor: Actor{Type: "AssumedRole", Name: "holder of " + parent, AccessKeyID: parent, ARN: "arn"}, Key: &IssuedKey{},
	}
}

func holder(key string) *Record {
	return &Record{Identity: Identity{Type: "AssumedRole", AccessKeyID: key}, Time: second(59)}
}

func name(n int) string { return fmt.Sprintf("ASIA%012dEXAMPLE", n) }

func TestChainsEnd(t *testing.T) {
	long, ring := NewTable(0), NewTable(0)
	for i := range 12 {
		long.Add(issued(name(i), name(i+1), i))
	}
	for i := range 3 {
		ring.Add(issued(name(i), name((i+1)%3), i))
	}
	if c := long.Chain(holder(name(0))); len(c.Hops) != maxHops || c.Gap != ChainCut || c.Root.AccessKeyID != name(maxHops) {
		t.Errorf("a chain of twelve: %d hops, gap %q, root %q", len(c.Hops), c.Gap, c.Root.AccessKeyID)
	}
	if c := long.Chain(holder(name(4))); len(c.Hops) != maxHops || c.Gap != IssuerUnknown {
		t.Errorf("a chain of eight: %d hops, gap %q", len(c.Hops), c.Gap)
	}
	if c := ring.Chain(holder(name(0))); len(c.Hops) != 3 || c.Gap != ChainCycle {
		t.Errorf("a ring: %d hops, gap %q", len(c.Hops), c.Gap)
	}
	if c := ring.Chain(holder("")); len(c.Hops) != 0 || c.Gap != IssuerUnknown {
		t.Errorf("no key: %+v", c)
	}
}

// Both accounts get a record of a role assumed across accounts; the copy that says
// more of the caller counts, whichever came first.
func TestTheCopyThatSaysMoreOfTheCallerCounts(t *testing.T) {
	full, poor := issued(name(1), name(2), 5), issued(name(1), "", 5)
	poor.Account, poor.EventID, poor.Actor = "444455556666", "a", Actor{Type: "AWSAccount"}
	for _, order := range [][]Fact{{full, poor}, {poor, full}} {
		table := NewTable(0)
		for _, f := range order {
			table.Add(f)
		}
		if c := table.Chain(holder(name(1))); c.Root.AccessKeyID != name(2) {
			t.Errorf("root %+v", c.Root)
		}
	}
}

func TestConsoleLoginsAreMatchedByTheirTime(t *testing.T) {
	login := func(id string, n int, failed bool) Fact {
		return Fact{Kind: FactLogin, Subject: "AIDAEXAMPLE", EventID: id, Time: second(n), Login: &Login{Failed: failed}}
	}
	call := &Record{Identity: Identity{Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", SessionCreated: second(30)}}
	for want, facts := range map[string][]Fact{
		"near":   {login("far", 20, false), login("near", 31, false), login("refused", 30, true)},
		"before": {login("before", 0, false)},
		"":       {login("one", 29, false), login("other", 31, false)}, // a tie is no answer
	} {
		table := NewTable(0)
		for _, f := range facts {
			table.Add(f)
		}
		got := ""
		if c := table.Chain(call); c.Login != nil {
			got = c.Login.EventID
		}
		if got != want {
			t.Errorf("the login is %q, want %q", got, want)
		}
	}
	old := NewTable(0)
	old.Add(Fact{Kind: FactLogin, Subject: "AIDAEXAMPLE", EventID: "old", Time: second(-31), Login: &Login{}})
	if c := old.Chain(call); c.Login != nil {
		t.Error("a login 61 s before the session began it")
	}
}

// An instance is launched by whoever had made the group of that name by then, and in
// its own account.
func TestTheLauncherIsTheGroupsMakerOfThatTime(t *testing.T) {
	group := func(id string, n int, account, region string) Fact {
		return Fact{Kind: FactGroup, Subject: "g", EventID: id, Account: account, Region: region, Time: second(n)}
	}
	launch := func(id, account, service string) Fact {
		return Fact{
			Kind: FactLaunch, Subject: web, EventID: id, Account: account, Region: "r", Time: second(30), Via: "RunInstances",
			Actor: Actor{Service: service}, Launch: &Launch{Group: "g"},
		}
	}
	table := NewTable(0)
	for _, f := range []Fact{
		launch("theirs", "2", ""), launch("ours", "1", "autoscaling.amazonaws.com"), group("old", 1, "1", "r"), group("mine", 2, "1", "r"),
		group("later", 31, "1", "r"), group("other account", 29, "2", "r"), group("other region", 29, "1", "s"),
	} {
		table.Add(f)
	}
	if l, by := table.Launch(web, "1"); l == nil || l.EventID != "ours" || by.EventID != "mine" {
		t.Errorf("launched by %+v for %+v", l, by)
	}
	if l, by := table.Launch(web, "2"); l == nil || l.EventID != "theirs" || by != l {
		t.Errorf("launched by %+v for %+v", l, by)
	}
	if l, by := table.Launch(fleet, "1"); l != nil || by != nil {
		t.Errorf("an unknown launch is %+v", l)
	}
	fleetCall := Fact{Kind: FactLaunch, Subject: web, EventID: "fleet", Account: "1", Time: second(29), Via: "CreateFleet", Launch: &Launch{}}
	table.Add(fleetCall)
	if l, by := table.Launch(web, "1"); l.EventID != "ours" || by.EventID != "fleet" {
		t.Errorf("details of %s, by %s; want those of RunInstances, and the caller of CreateFleet", l.EventID, by.EventID)
	}
}

// What a Table holds depends on the facts, not on their order; when it is full the
// newest stay.
func TestOrderOfFactsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Fact {
			f := issued(name(rapid.IntRange(0, 5).Draw(rt, "key")), name(rapid.IntRange(0, 5).Draw(rt, "parent")), rapid.IntRange(0, 3).Draw(rt, "second"))
			f.Region = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "region") // a difference that is not in the key
			return f
		}), 0, 30).Draw(rt, "facts")
		limit := rapid.IntRange(1, 12).Draw(rt, "limit")
		held := func(facts []Fact) string {
			table := NewTable(limit)
			for _, f := range facts {
				table.Add(f)
			}
			var all []string
			for _, key := range slices.Sorted(maps.Keys(table.facts)) {
				e := table.facts[key]
				all = append(all, fmt.Sprint(key, e.fact.Time, e.fact.Region))
			}
			if n := 0; len(all) > limit || len(table.oldest) != len(all) || func() int {
				for _, list := range table.subject {
					n += len(list.ordered())
				}
				return n
			}() != len(all) {
				rt.Fatalf("%d facts of %d, %d in the heap, %d by subject", len(all), limit, len(table.oldest), n)
			}
			return strings.Join(all, "\n")
		}
		if a, b := held(facts), held(rapid.Permutation(facts).Draw(rt, "order")); a != b {
			rt.Fatalf("held\n%s\nin another order\n%s", a, b)
		}
	})
}

func TestForgottenFactsAreCounted(t *testing.T) {
	table := NewTable(2)
	for i := range 5 {
		table.Add(issued(name(i), name(9), i))
	}
	if table.Len() != 2 || table.Evicted() != 3 || len(table.of(FactIssuedKey, name(4))) != 1 || len(table.of(FactIssuedKey, name(0))) != 0 {
		t.Errorf("%d held, %d forgotten", table.Len(), table.Evicted())
	}
}

func TestOneCopyIsTaken(t *testing.T) {
	parse := func(text string) *Record {
		r, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plain, lines, other := parse(record("a")), parse(pretty("a")), parse(record("b"))
	for _, order := range [][]*Record{{plain, lines, plain, other}, {other, lines, plain, plain}} {
		copies, taken := NewCopies(0), []string{}
		for _, r := range order {
			copies.Note(r)
		}
		for _, r := range order {
			if copies.Take(r) {
				taken = append(taken, string(r.Raw))
			}
		}
		slices.Sort(taken)
		if len(taken) != 2 || !slices.Contains(taken, string(other.Raw)) {
			t.Errorf("%d records taken of two: %q", len(taken), taken)
		}
		if first := NewCopies(0); !first.Take(plain) || !first.Take(plain) {
			t.Error("a record that was not noted is not taken")
		}
		if slices.Contains(taken, string(plain.Raw)) != (rank(plain) < rank(lines)) {
			t.Error("the choice depends on the order")
		}
	}
}

func TestSeenRemembersTheLatest(t *testing.T) {
	s := NewSeen(2)
	for i, c := range []struct {
		id   string
		want bool
	}{{"a", false}, {"a", true}, {"b", false}, {"c", false}, {"b", true}, {"a", false}, {"c", true}} {
		if got := s.Before(c.id); got != c.want {
			t.Errorf("%d: %s seen before: %v", i, c.id, got)
		}
	}
}

// What came since a mark is told once, and that too much came to tell.
func TestATableTellsWhatIsNew(t *testing.T) {
	table := NewTable(0)
	use := func(i int) Fact {
		return Fact{
			Kind: FactUse, Subject: fmt.Sprint("key", i), Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Use: &Use{Address: "192.0.2.66"},
		}
	}
	table.Add(use(1))
	table.Add(use(1)) // the same is nothing new
	about, mark, whole := table.Since(0)
	if want := []Subject{{Kind: FactUse, Name: "key1"}, {Kind: FactUse, Name: "192.0.2.66"}}; !whole || !reflect.DeepEqual(about, want) {
		t.Errorf("%v, %v", about, whole)
	}
	if about, next, whole := table.Since(mark); len(about) != 0 || next != mark || !whole {
		t.Errorf("%v, %d, %v", about, next, whole)
	}
	for i := range 4096 {
		table.Add(use(2 + i))
	}
	if about, _, whole := table.Since(mark); len(about) != 2*4096 || !whole {
		t.Errorf("%d, %v", len(about), whole)
	}
	table.Add(use(5000))
	if _, next, whole := table.Since(mark); whole || next != table.Changes() {
		t.Errorf("%d, %v", next, whole)
	}
}
