package cloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// restless is an Operator that is built anew over its State before each step, as after
// a restart.
type restless struct {
	cfg   cloud.Config
	state enrich.State
}

func (r *restless) anew() *cloud.Operator { return cloud.New(r.cfg, r.state) }

func (r *restless) do(step func(*cloud.Operator) error) error {
	o := r.anew()
	return errors.Join(step(o), o.Seal())
}

func (r *restless) OnEvent(e *enrich.Event, out *enrich.Out) error {
	return r.do(func(o *cloud.Operator) error { return o.OnEvent(e, out) })
}

func (r *restless) OnSide(s *enrich.Side, out *enrich.Out) error {
	return r.do(func(o *cloud.Operator) error { return o.OnSide(s, out) })
}

func (r *restless) Finish(out *enrich.Out) error {
	return r.do(func(o *cloud.Operator) error { return o.Finish(out) })
}

func (r *restless) OnTime(h enrich.Host, now time.Time, out *enrich.Out) error {
	return r.do(func(o *cloud.Operator) error { return o.OnTime(h, now, out) })
}

// What is told does not depend on what is in memory.
func TestRestartsChangeNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			s := story.Load(t, path)
			p := telling(t, s, s.Trail(t, records))
			r := &restless{p.cfg, state.NewMemory()}
			p.over(r)
			p.every = 2
			s.Run(t, p)
		})
	}
}

// parsed is a record of a story.
func parsed(t *testing.T, set map[string]any, is, id string, at int) *cloudtrail.Record {
	t.Helper()
	s := story.Story{Start: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), CloudTrail: []story.Call{{Is: is, ID: id, At: &at, Set: set}}}
	return s.Trail(t, records)[0]
}

func sideOf(r *cloudtrail.Record, host enrich.Host) *enrich.Side {
	return &enrich.Side{Host: host, Kind: cloud.Side, Time: r.Time, Value: r.Raw, Position: enrich.Position{Topic: "cloudtrail"}}
}

// last is the finding on 192.0.2.66 that was told last, and how often it was.
func last(t *testing.T, out *enrich.Out) (status, severity string, told int) {
	t.Helper()
	for _, o := range out.Outputs {
		if o.Stream != enrich.Findings {
			continue
		}
		schematest.Validate(t, finding.Schema, o.Value)
		var f struct {
			Event   struct{ Revision int }
			Finding struct{ Status, Severity string }
			AWS     struct {
				Source string `json:"source_address"`
			}
		}
		if err := json.Unmarshal(o.Value, &f); err != nil {
			t.Fatal(err)
		}
		if f.AWS.Source != "192.0.2.66" {
			t.Errorf("a finding on %s: %s", f.AWS.Source, o.Value)
			continue
		}
		if f.Event.Revision != told {
			t.Errorf("revision %d comes after %d others", f.Event.Revision, told)
		}
		status, severity, told = f.Finding.Status, f.Finding.Severity, told+1
	}
	return status, severity, told
}

// A key used elsewhere is told at once, counted on at most once a minute, and taken back
// when the address turns out to be the instance's.
func TestAFindingIsTakenBackWhenTheAddressTurnsOutToBeItsOwn(t *testing.T) {
	facts, uses := cloudtrail.NewTable(0), cloudtrail.NewTable(0)
	o := cloud.New(cloud.Config{Facts: facts, Uses: uses}, state.NewMemory())
	var out enrich.Out
	instance := enrich.Host("i-0317f6c6b66ae9c40")
	take := func(r *cloudtrail.Record) {
		t.Helper()
		for _, f := range cloudtrail.Extract(nil, r) {
			facts.Add(f)
		}
		if f, ok := cloudtrail.Uses(r); ok {
			uses.Add(f)
		}
		if err := o.OnSide(sideOf(r, instance), &out); err != nil {
			t.Fatal(err)
		}
	}
	take(parsed(t, nil, "run", "", 180))
	take(parsed(t, nil, "get", "first", 240))
	if _, _, told := last(t, &out); told != 0 {
		t.Fatal("told of the only address that was seen")
	}
	for i := range 10 {
		take(parsed(t, map[string]any{"sourceIPAddress": "192.0.2.66"}, "get", fmt.Sprint("other-", i), 300+i))
	}
	if status, severity, told := last(t, &out); status != "open" || severity != "medium" || told != 1 {
		t.Fatalf("%s, %s, told %d times; want one open finding of medium severity", status, severity, told)
	}
	take(parsed(t, map[string]any{"sourceIPAddress": "192.0.2.66"}, "get", "later", 400))
	if _, _, told := last(t, &out); told != 2 {
		t.Errorf("told %d times after a minute, want 2", told)
	}
	for _, f := range cloudtrail.Extract(nil, parsed(t, map[string]any{"responseElements.publicIp": "192.0.2.66"}, "allocate", "", 200)) {
		facts.Add(f)
	}
	for _, f := range cloudtrail.Extract(nil, parsed(t, nil, "associate", "", 270)) {
		facts.Add(f)
	}
	if err := o.Finish(&out); err != nil {
		t.Fatal(err)
	}
	if status, severity, _ := last(t, &out); status != "retracted" || severity != "info" {
		t.Errorf("%s, %s; want it retracted", status, severity)
	}
}

// Where networks are known, an address that is not AWS's is no instance's.
func TestAKeyUsedOutsideAWSIsGraded(t *testing.T) {
	for name, c := range map[string]struct {
		at   enrich.Location
		want string
	}{
		"another's":        {enrich.Location{ASN: 64500, Organization: "Example Hosting"}, "high"},
		"AWS by number":    {enrich.Location{ASN: 16509}, "medium"},
		"AWS by name":      {enrich.Location{ASN: 64501, Organization: "Amazon Data Services UK"}, "medium"},
		"nobody's":         {enrich.Location{}, "medium"},
		"only the country": {enrich.Location{Country: "NL"}, "medium"},
	} {
		o := cloud.New(cloud.Config{
			Locate: func(a netip.Addr) enrich.Location {
				if a != netip.MustParseAddr("192.0.2.66") {
					t.Errorf("%s: asked of %s", name, a)
				}
				return c.at
			},
		}, state.NewMemory())
		var out enrich.Out
		for _, r := range []*cloudtrail.Record{
			parsed(t, nil, "get", "first", 240), parsed(t, map[string]any{"sourceIPAddress": "192.0.2.66"}, "get", "other", 300),
		} {
			if err := o.OnSide(sideOf(r, "i-0317f6c6b66ae9c40"), &out); err != nil {
				t.Fatal(err)
			}
		}
		status, severity, _ := last(t, &out)
		reason := bytes.Contains(out.Outputs[len(out.Outputs)-1].Value, []byte("in the network of Example Hosting (AS64500), which is not AWS's"))
		if status != "open" || severity != c.want || reason != (c.want == "high") {
			t.Errorf("%s: %s, %s, want %s: %s", name, status, severity, c.want, out.Outputs[len(out.Outputs)-1].Value)
		}
	}
}

// A wish not to be told is kept in the finding, and ends with the wish.
func TestAFindingIsSuppressedAsAsked(t *testing.T) {
	facts, uses := cloudtrail.NewTable(0), cloudtrail.NewTable(0)
	end := time.Date(2026, 11, 23, 10, 6, 0, 0, time.UTC)
	o := cloud.New(cloud.Config{Facts: facts, Uses: uses, Suppressed: func(rule string, at time.Time, hosts, about []string) string {
		if rule == finding.CredentialOutside && slices.Contains(hosts, "i-0317f6c6b66ae9c40") && slices.Contains(about, "192.0.2.66") && at.Before(end) {
			return "Suppressed for red team."
		}
		return ""
	}}, state.NewMemory())
	for i, want := range []string{"", "suppressed", "open"} {
		var out enrich.Out
		set := map[string]any{"sourceIPAddress": "192.0.2.66"}
		if i == 0 {
			set = nil
		}
		r := parsed(t, set, "get", fmt.Sprint("g", i), 240+60*i)
		f, _ := cloudtrail.Uses(r)
		uses.Add(f)
		if err := o.OnSide(sideOf(r, "i-0317f6c6b66ae9c40"), &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Outputs) == 0 && want == "" {
			continue
		}
		if len(out.Outputs) != 1 || !strings.Contains(string(out.Outputs[0].Value), `"status":"`+want+`"`) ||
			strings.Contains(string(out.Outputs[0].Value), "Suppressed for red team.") != (want == "suppressed") {
			t.Errorf("%d: want %q: %+v", i, want, out.Outputs)
		}
	}
}

// What a bound pushes out is counted.
func TestBoundsAreCounted(t *testing.T) {
	o := cloud.New(cloud.Config{MaxCalls: 2}, state.NewMemory())
	for i := range 5 {
		if err := o.OnSide(sideOf(parsed(t, nil, "scope", fmt.Sprint("s", i), 240+i), "web-1"), nil); err != nil {
			t.Fatal(err)
		}
	}
	stats := enrich.NewStats()
	o.Count(&stats)
	o.Count(&stats)
	if stats.Evicted["cloud"] != 3 {
		t.Errorf("%d were pushed out, want 3", stats.Evicted["cloud"])
	}
}

// What no record of CloudTrail asks about any more leaves the State.
func TestOldThingsAreForgotten(t *testing.T) {
	s := story.Load(t, "testdata/stories/attack.yaml")
	p := telling(t, s, s.Trail(t, records))
	kept := state.NewMemory()
	p.over(cloud.New(p.cfg, kept))
	p.every = 1
	s.Run(t, p)
	keys := func() (n int) {
		if err := kept.Scan("web-1", nil, func(key, _ []byte) error {
			if key[0] == 's' || key[0] == 'c' || key[0] == 'k' {
				n++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if keys() == 0 {
		t.Fatal("nothing is kept")
	}
	var out enrich.Out
	if err := p.clouds.OnTime("web-1", s.Start.Add(30*24*time.Hour), &out); err != nil {
		t.Fatal(err)
	}
	if n := keys(); n != 0 {
		t.Errorf("%d things are kept for a month", n)
	}
}

// No record stops the join, and whatever it is told of is a valid record.
func FuzzSide(f *testing.F) {
	for _, is := range []string{"get", "scope", "agent", "forged"} {
		s := story.Story{Start: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), CloudTrail: []story.Call{{Is: is}}}
		f.Add(s.Trail(f, records)[0].Raw)
	}
	f.Add([]byte(`{"eventTime":"2026-11-23T10:00:00Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o := cloud.New(cloud.Config{}, state.NewMemory())
		p := &teller{clouds: o}
		p.Pipeline = pipelineOver(o)
		var out enrich.Out
		row := `{"name":"ec2_instance_metadata","hostIdentifier":"web-1","unixTime":1795428000,"columns":{"instance_id":"i-0317f6c6b66ae9c40","account_id":"1","ami_id":"a"},"action":"added"}`
		if err := p.Pipeline.Process(context.Background(), enrich.Input{Value: []byte(row), Position: enrich.Position{File: "log", Line: 1}}, &out); err != nil {
			t.Fatal(err)
		}
		if err := o.OnSide(&enrich.Side{Host: "i-0317f6c6b66ae9c40", Kind: cloud.Side, Value: text}, &out); err != nil {
			t.Fatal(err)
		}
		if err := p.Pipeline.Finish(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Outputs {
			schematest.Validate(t, r.Schema, r.Value)
		}
	})
}

// apart are a record's use as stage 1 sends it.
func apart(t *testing.T, r *cloudtrail.Record, facts *cloudtrail.Table) *enrich.Side {
	t.Helper()
	h := facts.Host(r)
	value := cloud.UseOf(r, h)
	if value == nil {
		t.Fatalf("%s is no use", r.ID())
	}
	return &enrich.Side{Host: enrich.Host(h.ID), Kind: enrich.SideUse, Time: r.Time, Value: value, Position: enrich.Position{Topic: "cloudtrail"}}
}

// Where facts come beside the records, one that comes later takes a finding back: that
// the address is the instance's, and that others of its network call from there. What
// rests on nothing new is not told again.
func TestAFactThatComesLaterTakesAFindingBack(t *testing.T) {
	for name, late := range map[string]func(facts, uses *cloudtrail.Table){
		"owned": func(facts, _ *cloudtrail.Table) {
			for _, r := range []*cloudtrail.Record{
				parsed(t, map[string]any{"responseElements.publicIp": "192.0.2.66"}, "allocate", "", 200), parsed(t, nil, "associate", "", 270),
			} {
				for _, f := range cloudtrail.Extract(nil, r) {
					facts.Add(f)
				}
			}
		},
		"shared": func(facts, uses *cloudtrail.Table) {
			for i, instance := range []string{"i-0000000000000000b", "i-0000000000000000c"} {
				for _, f := range cloudtrail.Extract(nil, parsed(t, map[string]any{"responseElements.instancesSet.items.0.instanceId": instance}, "run", instance, 180)) {
					facts.Add(f)
				}
				f, _ := cloudtrail.Uses(parsed(t, map[string]any{
					"sourceIPAddress": "192.0.2.66", "userIdentity.principalId": "AROA5FLZVX4OAEXAMPLE:" + instance, "userIdentity.accessKeyId": fmt.Sprintf("ASIA%d00000000EXAMPLE", i),
				}, "get", instance, 305))
				uses.Add(f)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			facts, uses := cloudtrail.NewTable(0), cloudtrail.NewTable(0)
			for _, f := range cloudtrail.Extract(nil, parsed(t, nil, "run", "", 180)) {
				facts.Add(f)
			}
			o := cloud.New(cloud.Config{Facts: facts, Uses: uses, Apart: true}, state.NewMemory())
			var out enrich.Out
			idle := func(n int) {
				t.Helper()
				for range n {
					if err := o.OnIdle(&out); err != nil {
						t.Fatal(err)
					}
				}
			}
			idle(1)
			for _, r := range []*cloudtrail.Record{
				parsed(t, nil, "get", "first", 240), parsed(t, map[string]any{"sourceIPAddress": "192.0.2.66"}, "get", "other", 300),
			} {
				f, _ := cloudtrail.Uses(r)
				uses.Add(f)
				if err := o.OnSide(apart(t, r, facts), &out); err != nil {
					t.Fatal(err)
				}
			}
			idle(10)
			if status, _, told := last(t, &out); status != "open" || told != 1 {
				t.Fatalf("%s, told %d times", status, told)
			}
			late(facts, uses)
			idle(10)
			if status, _, told := last(t, &out); status != "retracted" || told != 2 {
				t.Errorf("%s, told %d times", status, told)
			}
		})
	}
}

// Whatever comes by the side topic stops nothing, and is told within its bounds.
func FuzzDigest(f *testing.F) {
	facts := cloudtrail.NewTable(0)
	for _, is := range []string{"get", "scope"} {
		s := story.Story{Start: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), CloudTrail: []story.Call{{Is: is}}}
		r := s.Trail(f, records)[0]
		f.Add(uint8(0), cloud.UseOf(r, facts.Host(r)))
		f.Add(uint8(1), cloud.CallOf(r, facts.Host(r)))
	}
	f.Add(uint8(2), []byte(`{"instance":"i-0317f6c6b66ae9c40","host":"web-1","name":"web","tally":{"key":"ASIAI44QH8DHBEXAMPLE","address":"192.0.2.66","unseen":2,"last":"2026-11-23T10:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		kept := state.NewMemory()
		for range 2 { // the second over what the first put
			o := cloud.New(cloud.Config{Apart: true}, kept)
			var out enrich.Out
			s := &enrich.Side{
				Host: "i-0317f6c6b66ae9c40", Kind: []enrich.SideKind{enrich.SideUse, enrich.SideCall, enrich.SideHost}[kind%3], Value: text,
				Appended: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
			}
			for _, err := range []error{o.OnSide(s, &out), o.OnIdle(&out), o.OnTime(s.Host, s.Appended.Add(time.Hour), &out), o.Seal()} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
