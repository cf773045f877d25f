package owner_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const t0 = 1_760_000_000

func at(minute int) time.Time { return time.Unix(t0+int64(minute)*60, 0).UTC() }

func rowEvent(t *testing.T, host, table, action string, minute int, columns string) *enrich.Event {
	t.Helper()
	e := &enrich.Event{Host: enrich.Host(host), Time: at(minute)}
	if err := e.Parse(fmt.Appendf(nil, `{"name":%q,"hostIdentifier":%q,"columns":{%s},"action":%q}`, table, host, columns, action)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	return e
}

// world is an operator with what it told.
type world struct {
	t     *testing.T
	state *state.Memory
	op    *owner.Operator
	facts []*owner.Fact
	table *owner.Table
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, state: state.NewMemory(), table: owner.NewTable()}
	w.op = owner.New("g", 3, w.state)
	return w
}

func (w *world) take(e *enrich.Event) {
	w.t.Helper()
	var out enrich.Out
	if err := w.op.OnEvent(e, &out); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range out.Outputs {
		f, err := owner.Read(o.Value)
		if err != nil || o.Stream != enrich.Facts || string(o.Key) != f.Key() {
			w.t.Fatalf("%+v: %v", o, err)
		}
		w.facts = append(w.facts, f)
		w.table.Add(f)
	}
}

func (w *world) address(host, action string, minute int, addr string) {
	w.take(rowEvent(w.t, host, "interface_addresses", action, minute, fmt.Sprintf(`"interface":"eth0","address":%q,"mask":"m"`, addr)))
}

func (w *world) owners(addr string, minute int) (hosts []string) {
	all, _ := w.table.Owners(netip.MustParseAddr(addr), at(minute))
	for _, p := range all {
		if p.Partition != 3 {
			w.t.Errorf("partition %d, want 3", p.Partition)
		}
		hosts = append(hosts, string(p.Host))
	}
	return hosts
}

func TestAnAddressIsToldWhenItIsNewAndOnceInAWhile(t *testing.T) {
	w := newWorld(t)
	for minute := range 12 {
		w.address("a", "added", minute, "10.0.0.1")
		w.take(rowEvent(t, "a", "bpf_socket_events", "added", minute, `"pid":"1","local_address":"10.0.0.1","remote_address":"10.0.0.2","syscall":"connect"`))
	}
	if len(w.facts) != 3 {
		t.Errorf("%d facts in 12 minutes, want 3", len(w.facts))
	}
	w.op = owner.New("g", 3, w.state)
	w.address("a", "added", 12, "10.0.0.1")
	if len(w.facts) != 3 {
		t.Error("told again after a restart")
	}
	for _, none := range []string{"127.0.0.1", "fe80::1%eth0", "0.0.0.0", "", "224.0.0.1", "x"} {
		w.address("a", "added", 0, none)
	}
	if len(w.facts) != 3 {
		t.Errorf("told of what is no host's: %+v", w.facts[3])
	}
}

func TestWhoOwnedAnAddressWhen(t *testing.T) {
	w := newWorld(t)
	w.address("a", "added", 0, "10.0.0.1")
	w.address("a", "added", 60, "10.0.0.1")
	w.address("a", "removed", 70, "10.0.0.1")
	w.address("b", "added", 100, "10.0.0.1")
	w.address("only", "added", 50, "10.0.0.2")
	w.address("x", "added", 0, "10.0.0.3")
	w.address("y", "added", 0, "10.0.0.3")
	for _, c := range []struct {
		addr   string
		minute int
		want   []string
	}{
		{"10.0.0.1", 30, []string{"a"}}, {"10.0.0.1", 85, nil}, {"10.0.0.1", 101, []string{"b"}}, {"10.0.0.1", 5000, []string{"b"}},
		{"10.0.0.1", -60, nil},              // either may have had it
		{"10.0.0.2", 0, []string{"only"}},   // the only one that ever had it
		{"10.0.0.3", 1, []string{"x", "y"}}, // both
		{"10.0.0.9", 1, nil},
	} {
		if got := w.owners(c.addr, c.minute); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s at %d: %v, want %v", c.addr, c.minute, got, c.want)
		}
	}
}

// An address that goes from one host to another and back was the other's in between, and
// only there; a row that comes late shortens the time in which it was nobody's.
func TestAnAddressThatCameBackWasAnothersInBetween(t *testing.T) {
	w := newWorld(t)
	const addr = "10.0.0.1"
	take := func(host, action string, minute int) {
		w.op = owner.New("g", 3, w.state) // of the state alone
		w.address(host, action, minute, addr)
	}
	take("a", "added", 0)
	take("a", "removed", 60)
	take("b", "added", 70)
	take("b", "removed", 100)
	take("a", "added", 110)
	take("a", "added", 200)
	want := map[int][]string{30: {"a"}, 65: nil, 85: {"b"}, 105: nil, 109: nil, 110: {"a"}, 150: {"a"}}
	for minute, hosts := range want {
		if got := w.owners(addr, minute); !reflect.DeepEqual(got, hosts) {
			t.Errorf("minute %d: %v, want %v", minute, got, hosts)
		}
	}
	take("a", "added", 106)
	if got := w.owners(addr, 108); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("after a late row: %v", got)
	}
	if got := w.owners(addr, 103); got != nil {
		t.Errorf("between the two: %v", got)
	}
}

// So many gaps are kept: what came before the first of them counts as held throughout.
func TestTheGapsOfAnAddressAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.address("a", "added", i*10, "10.0.0.1")
		w.address("a", "removed", i*10+5, "10.0.0.1")
	}
	last := w.facts[len(w.facts)-1]
	if len(last.Gaps) != 8 || !last.Gaps[7].From.Equal(at(285)) {
		t.Errorf("%+v", last.Gaps)
	}
	if got := w.owners("10.0.0.1", 28*10+7); got != nil {
		t.Errorf("in the last gap: %v", got)
	}
	if got := w.owners("10.0.0.1", 7); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("in one that is forgotten: %v", got)
	}
}

// A host whose state came from another group or partition, as after a reshard, is told
// of anew when it is met: the facts are kept by group, and name the partition.
func TestAHostThatMovedIsToldAnew(t *testing.T) {
	w := newWorld(t)
	w.address("a", "added", 0, "10.0.0.1")
	w.take(rowEvent(t, "a", "ec2_instance_metadata", "added", 0, `"instance_id":"i-1","account_id":"1","ami_id":"ami-1"`))
	for i, op := range []*owner.Operator{owner.New("g", 3, w.state), owner.New("g2", 3, w.state), owner.New("g2", 5, w.state), owner.New("g2", 5, w.state)} {
		w.facts, w.op = nil, op
		w.take(rowEvent(t, "a", "uptime", "added", 1, `"days":"1","hours":"1","minutes":"1","seconds":"1","total_seconds":"1"`))
		if want := []int{0, 2, 2, 0}[i]; len(w.facts) != want {
			t.Errorf("%d: %d facts, want %d", i, len(w.facts), want)
		}
	}
	if got, _ := w.table.Owners(netip.MustParseAddr("10.0.0.1"), at(1)); len(got) != 1 || got[0].Partition != 5 {
		t.Errorf("%+v", got)
	}
}

// What containers' bridges have is nobody's.
func TestAnAddressOfManyIsNobodys(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.address(fmt.Sprint("h", i), "added", 0, "172.17.0.1")
		if got := w.owners("172.17.0.1", 0); (len(got) == 0) != (i >= 8) {
			t.Fatalf("%d owners of %d", len(got), i+1)
		}
	}
}

func TestAHostIsAnInstance(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.take(rowEvent(t, "a", "ec2_instance_metadata", "added", 0, `"instance_id":"i-1","account_id":"1","ami_id":"ami-1"`))
	}
	if p, ok := w.table.Instance("i-1"); !ok || p != (owner.Place{Host: "a", Partition: 3}) || len(w.facts) != 1 {
		t.Errorf("%+v, %d facts", p, len(w.facts))
	}
}

// A clock that is far ahead would own an address for ever.
func TestANonsenseClockSaysNothing(t *testing.T) {
	w := newWorld(t)
	e := rowEvent(t, "a", "interface_addresses", "added", 1000, `"interface":"eth0","address":"10.0.0.1","mask":"m"`)
	e.Appended = at(0)
	w.take(e)
	if len(w.facts) != 0 {
		t.Errorf("%+v", w.facts)
	}
}

// The answers follow from the facts, not from their order.
func TestTheOrderOfFactsChangesNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var facts []*owner.Fact
		for i := range rapid.IntRange(1, 12).Draw(t, "facts") {
			from := rapid.IntRange(0, 50).Draw(t, "from")
			var gaps []owner.Gap
			if rapid.Bool().Draw(t, "gap") {
				gaps = []owner.Gap{{From: at(from + 2), To: at(from + 9)}}
			}
			facts = append(facts, &owner.Fact{
				Kind: owner.HostAddress, Host: enrich.Host(fmt.Sprint("h", i)), Address: netip.MustParseAddr("10.0.0.1"),
				From: at(from), To: at(from + rapid.IntRange(0, 50).Draw(t, "for")), Ended: rapid.Bool().Draw(t, "ended"), Gaps: gaps,
			})
		}
		answers := func() (all [][]owner.Place) {
			table := owner.NewTable()
			for _, f := range facts {
				table.Add(f)
			}
			for minute := -5; minute < 120; minute += 3 {
				owners, _ := table.Owners(facts[0].Address, at(minute))
				all = append(all, owners)
			}
			return all
		}
		want := answers()
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		if got := answers(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%v", got, want)
		}
	})
}

// Where rows are found by their key, facts tell it: the host, or another name, until the
// host is keyed otherwise.
func TestAFactTellsTheKeyOfItsHostsRows(t *testing.T) {
	w := newWorld(t)
	w.op = owner.New("g", enrich.ByKey, w.state)
	comes := func(key, instance string, minute int) {
		e := rowEvent(t, "h", "ec2_instance_metadata", "added", minute, fmt.Sprintf(`"instance_id":%q`, instance))
		e.Key = []byte(key)
		w.take(e)
	}
	for i, key := range []string{"h", "k", "k2", "h"} {
		comes(key, fmt.Sprint("i-", i), i)
		if got := w.table.Key("h"); got != key {
			t.Errorf("key %q, want %q", got, key)
		}
	}
	if p, ok := w.table.Instance("i-3"); !ok || p != (owner.Place{Host: "h", Partition: enrich.ByKey}) || w.table.Key("other") != "other" {
		t.Errorf("%+v", p)
	}
}

func TestADeletionNamesItsFact(t *testing.T) {
	value, err := owner.Deletion("host_instance/i-1/h/join--1")
	if err != nil {
		t.Fatal(err)
	}
	if key, err := owner.Deleted(value); err != nil || key != "host_instance/i-1/h/join--1" {
		t.Errorf("%q, %v", key, err)
	}
	if key, err := owner.Deleted([]byte(`{"schema":"stackjoin.fact/1","kind":"host_instance"}`)); err != nil || key != "" {
		t.Errorf("a fact deletes %q, %v", key, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"kind":"host_address","host":"h","partition":1,"address":"10.0.0.1","from":"2026-11-23T10:00:00Z"}`))
	f.Add([]byte(`{"kind":"host_address","host":"h","address":"::1","gaps":[{"from":"2026-11-23T10:00:00Z","to":"2026-11-23T11:00:00Z"}]}`))
	f.Add([]byte(`{"kind":"host_instance","host":"h","instance":"i-1"}`))
	f.Add([]byte(`{"kind":"launch"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fact, err := owner.Read(b)
		if err != nil {
			return
		}
		o, err := fact.Output()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := owner.Read(o.Value); err != nil || again.Key() != fact.Key() {
			t.Fatalf("%s became %s: %v", b, o.Value, err)
		}
		owner.NewTable().Add(fact)
	})
}

func TestFactsOfOthersAreLeftToThem(t *testing.T) {
	if _, err := owner.Read([]byte(`{"kind":"launch","subject":"i-1"}`)); !errors.Is(err, owner.ErrOther) {
		t.Errorf("%v", err)
	}
}
