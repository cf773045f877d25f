package policy_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
)

func TestSuppressedHitsAreKeptAndCountedUntilOneIsNot(t *testing.T) {
	cfg := policy.Config{Suppressions: []policy.Suppression{
		{Host: "web*", Process: "/usr/bin/nmap", Feed: "list*", Owner: "red team", Reason: "Exercise 7.", Expires: start.Add(time.Hour)},
	}}
	d := open(t, cfg, 80, "198.51.100.7\n")
	f := one(t, d.connect("web-1", 0, "/usr/bin/nmap", "198.51.100.7"))
	if f.Finding.Status != "suppressed" || !strings.HasSuffix(f.Message, "Suppressed for red team until 2026-11-23T13:00:00Z: Exercise 7.") {
		t.Errorf("%+v", f)
	}
	d.connect("web-1", time.Second, "/usr/bin/nmap", "198.51.100.7")
	f = one(t, d.connect("web-1", 2*time.Second, "/usr/bin/curl", "198.51.100.7"))
	if f.Finding.Status != "open" || f.Finding.Count != 3 || !strings.HasSuffix(f.Message, "2 of them are suppressed.") {
		t.Errorf("%+v", f)
	}
	if f := one(t, d.connect("db-1", 0, "/usr/bin/nmap", "198.51.100.7")); f.Finding.Status != "open" {
		t.Errorf("another host: %+v", f)
	}
	d = open(t, cfg, 80, "198.51.100.7\n")
	if f := one(t, d.connect("web-1", time.Hour, "/usr/bin/nmap", "198.51.100.7")); f.Finding.Status != "open" {
		t.Errorf("after its end: %+v", f)
	}
}

func TestEachKeyOfASuppressionHasToFit(t *testing.T) {
	fits := policy.Suppression{
		Host: "web", Tag: "*", Process: "*/curl", User: "1000", Indicator: "198.51.*", Feed: "list0", Rule: "match_address", Owner: "o", Expires: start.Add(time.Hour),
	}
	fits.Tag = ""
	for name, change := range map[string]func(*policy.Suppression){
		"": func(*policy.Suppression) {}, "host": func(s *policy.Suppression) { s.Host = "w" }, "tag": func(s *policy.Suppression) { s.Tag = "none" },
		"process": func(s *policy.Suppression) { s.Process = "curl" }, "user": func(s *policy.Suppression) { s.User = "0" },
		"indicator": func(s *policy.Suppression) { s.Indicator = "198.52.*" }, "feed": func(s *policy.Suppression) { s.Feed = "list1" },
		"rule": func(s *policy.Suppression) { s.Rule = "match_name" },
	} {
		s := fits
		change(&s)
		d := open(t, policy.Config{Suppressions: []policy.Suppression{s}}, 80, "198.51.100.7\n")
		d.row("web", -time.Second, "process_events", `"pid":"7","parent":"1","path":"/usr/bin/curl","cmdline":"x","uid":"1000"`)
		if f := one(t, d.connect("web", 0, "/usr/bin/curl", "198.51.100.7")); (f.Finding.Status == "suppressed") != (name == "") {
			t.Errorf("changed %q: %s", name, f.Finding.Status)
		}
	}
}

// A list that names half the world makes one finding of itself, not a flood.
func TestARuleThatRaisesTooMuchSaysSoOnce(t *testing.T) {
	d := open(t, policy.Config{MaxPerHour: 3, Partition: "p"}, 80, "198.51.100.0/24\n", manyAddresses(40))
	var rules []string
	for i := range 40 {
		for _, f := range d.connect("h"+strconv.Itoa(i%7), time.Duration(i)*time.Second, "/a", "198.51.100."+strconv.Itoa(i)) {
			rules = append(rules, f.Rule.ID+" "+strconv.Itoa(f.Finding.Count))
		}
	}
	if want := []string{"match_address 1", "match_address 1", "match_address 1", "rule_noisy 1", "rule_noisy 10"}; !slices.Equal(rules, want) {
		t.Errorf("%q, want %q", rules, want)
	}
	d.restart()
	if f := one(t, d.connect("h1", time.Hour, "/a", "198.51.100.9")); f.Rule.ID != finding.MatchAddress {
		t.Errorf("the next hour: %+v", f)
	}
}

func TestEachPartitionHasItsOwnFindingOfANoisyRule(t *testing.T) {
	ids := map[string]bool{}
	for _, partition := range []string{"p", "q"} {
		d := open(t, policy.Config{MaxPerHour: 1, Partition: partition}, 80, "198.51.100.7\n")
		d.connect("a", 0, "/a", "198.51.100.7")
		ids[one(t, d.connect("b", 0, "/a", "198.51.100.7")).Event.ID] = true
	}
	if len(ids) != 2 {
		t.Error("two partitions write one finding")
	}
}

func manyAddresses(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "198.51.100.%d\n", i)
	}
	return b.String()
}

func TestFindingsOfDaysGoneByAreForgotten(t *testing.T) {
	d := open(t, policy.Config{}, 80, "198.51.100.7\n")
	d.connect("web", 0, "/a", "198.51.100.7")
	d.connect("web", time.Second, "/b", "198.51.100.7")
	f := one(t, d.row("web", 4*24*time.Hour, "process_events", `"pid":"9","path":"/bin/ls"`))
	if f.Finding.Count != 2 {
		t.Errorf("what waited is lost: %+v", f)
	}
	left := 0
	if err := d.states["policy"].Scan("web", nil, func(_, _ []byte) error { left++; return nil }); err != nil || left > 0 {
		t.Errorf("%d records are left: %v", left, err)
	}
}

func TestASuppressionCoversFindingsOfOthers(t *testing.T) {
	s := policy.Suppression{Rule: "credential_*", Host: "i-1*", Indicator: "192.0.2.*", Owner: "o", Expires: start.Add(time.Hour)}
	covers := func(s policy.Suppression, rule string, at time.Duration) bool {
		return s.Covers(rule, start.Add(at), []string{"web", "i-12"}, []string{"ASIA1", "192.0.2.66"})
	}
	if !covers(s, finding.CredentialOutside, 0) || !covers(policy.Suppression{Host: "web", Expires: s.Expires}, finding.CredentialOutside, 0) {
		t.Error("not covered")
	}
	if covers(s, finding.MatchAddress, 0) || covers(s, finding.CredentialOutside, time.Hour) {
		t.Error("another rule, or after its end: covered")
	}
	for _, other := range []policy.Suppression{{Host: "db"}, {Indicator: "198.51.100.*"}, {Host: "web", Feed: "*"}, {Host: "web", User: "0"}, {Host: "web", Process: "*"}, {Host: "web", Tag: "*"}} {
		if other.Expires = s.Expires; covers(other, finding.CredentialOutside, 0) {
			t.Errorf("%+v covers it", other)
		}
	}
}
