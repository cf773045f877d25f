package policy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Each process knows by its own clock since when a list has an indicator. A finding keeps
// what it told first, whoever owns it next.
func TestAFindingKeepsTheTimesThatItToldFirst(t *testing.T) {
	kept, lens := state.NewMemory(), event.Lens{Kind: event.API}
	seen := func(id string, confidence int, since, gone time.Time) (first, left string) {
		t.Helper()
		judge, err := policy.New(policy.Config{}, kept)
		if err != nil {
			t.Fatal(err)
		}
		e := &enrich.Event{ID: id, Host: "web", Kind: event.API, Lens: &lens, Time: start, Threats: []enrich.Threat{
			{Role: "block", Feed: "list", Indicator: "45.0.0.9", Atomic: "45.0.0.9", Type: "ipv4-addr", Field: "destination.ip", Direction: enrich.Outbound, Confidence: confidence, FirstSeenHere: since, Delisted: gone},
		}}
		var out enrich.Out
		if err := judge.Judge(e, start, &out); err != nil || len(out.Outputs) != 1 {
			t.Fatalf("%v, %d findings", err, len(out.Outputs))
		}
		var f struct {
			Threat struct {
				Enrichments []struct {
					Feed struct {
						FirstSeenHere string `json:"first_seen_here"`
						Delisted      string
					}
				}
			}
		}
		if err := json.Unmarshal(out.Outputs[0].Value, &f); err != nil {
			t.Fatal(err)
		}
		feed := f.Threat.Enrichments[0].Feed
		return feed.FirstSeenHere, feed.Delisted
	}
	first, none := seen("1", 20, start, time.Time{})
	if want := start.Format(time.RFC3339); !strings.HasPrefix(first, want[:19]) || none != "" {
		t.Errorf("%s, %s", first, none)
	}
	again, left := seen("2", 50, start.Add(time.Hour), start.Add(2*time.Hour)) // it gets worse, and is told anew
	if again != first || left == "" {
		t.Errorf("%s, %s", again, left)
	}
	if again, still := seen("3", 90, start.Add(-time.Hour), start.Add(3*time.Hour)); again != first || still != left {
		t.Errorf("%s and %s, told first %s and %s", again, still, first, left)
	}
}

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
