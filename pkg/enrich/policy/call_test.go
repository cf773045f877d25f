package policy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// A call from a listed address counts for its account, whoever makes it: one that
// worked at most medium, for nothing tells who has the keys, one in vain low.
func TestACallCountsForItsAccount(t *testing.T) {
	d := open(t, policy.Config{}, 90, "45.0.0.9\n")
	judge, err := policy.New(policy.Config{}, state.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	lookup, lens := reputation.New(d.store), event.Lens{Kind: event.API}
	call := func(id, account string, failed bool) (all []told) {
		t.Helper()
		e := &enrich.Event{ID: id, Kind: event.API, Lens: &lens, Time: start, Call: &enrich.Call{
			ID: id, Time: start, Source: "45.0.0.9", Account: account, Actor: "arn:aws:iam::1:user/eve", Action: "s3:ListBuckets", Failed: failed,
		}}
		var out enrich.Out
		if err := lookup.Enrich(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if err := judge.Judge(e, start, &out); err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Outputs {
			var f told
			if err := json.Unmarshal(o.Value, &f); err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		return all
	}
	first := call("1", "1", true)
	if len(first) != 1 || first[0].Finding.Severity != "low" || first[0].Host.ID != "" || !strings.HasPrefix(first[0].Message, "arn:aws:iam::1:user/eve called s3:ListBuckets in account 1 in vain from 45.0.0.9") {
		t.Errorf("%+v", first)
	}
	worse := call("2", "1", false)
	if len(worse) != 1 || worse[0].Event.ID != first[0].Event.ID || worse[0].Finding.Severity != "medium" || worse[0].Finding.Count != 2 {
		t.Errorf("%+v", worse)
	}
	if other := call("3", "2", false); len(other) != 1 || other[0].Event.ID == first[0].Event.ID {
		t.Errorf("%+v", other)
	}
}
