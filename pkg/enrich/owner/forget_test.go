package owner_test

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

const day = 24 * 60 // minutes

// comes hands in a row that was appended at that minute.
func (w *world) comes(host, table, action string, minute int, columns string) {
	w.t.Helper()
	e := rowEvent(w.t, host, table, action, minute, columns)
	e.Appended = at(minute)
	w.take(e)
}

func (w *world) has(host, action string, minute int, addr string) {
	w.comes(host, "interface_addresses", action, minute, `"interface":"eth0","address":"`+addr+`","mask":"m"`)
}

// sweep returns the keys of the facts that were deleted, which the table forgets.
func (w *world) sweep() (keys []string) {
	w.t.Helper()
	var out enrich.Out
	if err := w.op.OnIdle(&out); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range out.Outputs {
		if o.Value != nil || o.Stream != enrich.Facts {
			w.t.Errorf("%+v deletes nothing", o)
		}
		f, err := owner.ReadKey(string(o.Key))
		if err != nil {
			w.t.Fatal(err)
		}
		w.table.Remove(f)
		keys = append(keys, string(o.Key))
	}
	slices.Sort(keys)
	return keys
}

// Facts live as long as what they describe, and 30 days: an address that its host gave
// up, and a host that fell silent, with what is kept of it. What a host that lives never
// gave up stays, however long ago it said so.
func TestFactsLiveThirtyDaysLongerThanWhatTheyDescribe(t *testing.T) {
	w := newWorld(t)
	w.has("a", "added", 0, "10.0.0.1")
	w.has("a", "added", 0, "10.0.0.2")
	w.has("a", "removed", 60, "10.0.0.2")
	w.comes("a", "ec2_instance_metadata", "added", 60, `"instance_id":"i-1","account_id":"1","ami_id":"ami-1"`)
	w.has("gone", "added", 0, "10.0.0.3")
	w.comes("gone", "ec2_instance_metadata", "added", 30, `"instance_id":"i-2","account_id":"1","ami_id":"ami-1"`)
	uptime := func(host string, minute int) {
		w.comes(host, "uptime", "added", minute, `"days":"1","hours":"1","minutes":"1","seconds":"1","total_seconds":"1"`)
	}
	uptime("gone", 40)
	for d := 1; d <= 30; d++ {
		uptime("a", d*day)
		if keys := w.sweep(); len(keys) != 0 {
			t.Fatalf("day %d: %q", d, keys)
		}
	}
	w.op = owner.New("g", 3, w.state) // also by who took the partition since
	uptime("a", 31*day)
	want := []string{"host_address/10.0.0.2/a/join-3", "host_address/10.0.0.3/gone/join-3", "host_instance/i-2/gone/join-3"}
	if keys := w.sweep(); !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
	if keys := w.sweep(); len(keys) != 0 {
		t.Errorf("deleted twice: %q", keys)
	}
	if got := w.owners("10.0.0.1", 60*day); !slices.Equal(got, []string{"a"}) || w.table.Known(netip.MustParseAddr("10.0.0.3")) > 0 {
		t.Errorf("%q", got)
	}
	if _, known := w.table.Instance("i-2"); known {
		t.Error("the instance is still known")
	}
	hosts := 0
	if err := w.state.Hosts(func(enrich.Host) error { hosts++; return nil }); err != nil || hosts != 1 {
		t.Errorf("the state has %d hosts, want 1 (%v)", hosts, err)
	}
	facts := len(w.facts)
	w.has("gone", "added", 32*day, "10.0.0.3")
	if got := w.owners("10.0.0.3", 32*day); len(w.facts) != facts+1 || !slices.Equal(got, []string{"gone"}) {
		t.Errorf("a host that came back: %d facts, owners %q", len(w.facts)-facts, got)
	}
}

// A state of before, that does not say when a host last sent, begins to count when it is
// first looked at.
func TestAHostOfWhichNobodyKnowsIsNotForgottenAtOnce(t *testing.T) {
	w := newWorld(t)
	w.has("old", "added", 0, "10.0.0.1")
	w.op = owner.New("g", 3, w.state)
	for _, d := range []int{90, 119, 121} {
		w.has("other", "added", d*day, "10.0.0.2")
		if n := len(w.sweep()); (n > 0) != (d == 121) {
			t.Errorf("day %d: %d facts are deleted", d, n)
		}
	}
}

// What another partition has told since is not deleted with what this one knew.
func TestAMovedHostsFactsStay(t *testing.T) {
	w := newWorld(t)
	w.table.Add(&owner.Fact{Kind: owner.HostAddress, Host: "a", Partition: 5, Address: netip.MustParseAddr("10.0.0.1"), From: at(0), To: at(1)})
	f, err := owner.ReadKey("host_address/10.0.0.1/a/join-3")
	if err != nil {
		t.Fatal(err)
	}
	w.table.Remove(f)
	if w.table.Known(f.Address) == 0 {
		t.Error("it is gone")
	}
	if _, err := owner.ReadKey("instance/i-1/route"); !errors.Is(err, owner.ErrOther) {
		t.Errorf("%v", err)
	}
}

func TestAFactsKeyIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := owner.Fact{Kind: owner.HostInstance, Instance: "i-1", Host: enrich.Host(rapid.StringMatching(`.{1,20}`).Draw(t, "host")), Partition: rapid.Int32Range(enrich.ByKey, 1<<30).Draw(t, "partition")}
		if rapid.Bool().Draw(t, "address") {
			f.Kind, f.Instance, f.Address = owner.HostAddress, "", netip.MustParseAddr("2001:db8::1")
		}
		if got, err := owner.ReadKey(f.Key()); err != nil || !reflect.DeepEqual(*got, f) {
			t.Fatalf("%s: %+v %v", f.Key(), got, err)
		}
	})
}

func FuzzReadKey(f *testing.F) {
	f.Add("host_address/10.0.0.1/a/b/join-3")
	f.Fuzz(func(t *testing.T, key string) {
		fact, err := owner.ReadKey(key)
		if err != nil {
			return
		}
		if back, err := owner.ReadKey(fact.Key()); err != nil || !reflect.DeepEqual(back, fact) {
			t.Fatalf("%+v became %+v: %v", fact, back, err)
		}
	})
}
