package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	stories "github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const (
	trailStories = "../../pkg/enrich/cloud/testdata/stories/"
	storyTrail   = "../../pkg/enrich/cloudtrail/testdata/story.json"
)

// stolen are the records of an instance whose key is used at home and elsewhere, for
// each of n instances.
func stolen(t *testing.T, n int) (records []string) {
	s := stories.Load(t, trailStories+"stolen.yaml")
	for i := range n {
		world := strings.NewReplacer("i-0317f6c6b66ae9c40", instanceID(i), "ASIAI44QH8DHBEXAMPLE", fmt.Sprintf("ASIAI44QH8%06dAMPLE", i),
			"eipalloc-1", fmt.Sprintf("eipalloc-1%d", i), "203.0.113.80", fmt.Sprintf("203.0.113.%d", 80+i), "192.0.2.66", fmt.Sprintf("192.0.2.%d", 66+i),
			"vpc-1a2b3c4d", fmt.Sprintf("vpc-%d", i))
		for _, r := range s.Trail(t, storyTrail) {
			text := bytes.Replace(r.Raw, []byte(`"eventID":"`), fmt.Appendf(nil, `"eventID":"%d-`, i), 1)
			records = append(records, world.Replace(string(text)))
		}
	}
	return records
}

func instanceID(i int) string { return fmt.Sprintf("i-0317f6c6b66ae9c%02x", i) }

// stolenFinding is what the test reads of a finding.
type stolenFinding struct {
	Event   struct{ ID string }
	Host    struct{ ID string }
	Cloud   struct{ Instance struct{ ID string } }
	Finding struct {
		Status, Severity string
		Count            int
		NoSensor         bool `json:"no_sensor"`
	}
	Message string
}

// raised are the findings told last, by id. Each revision of each was told once.
func (s *site) raised() map[string]stolenFinding {
	s.t.Helper()
	last, revisions := map[string]stolenFinding{}, map[string]map[int]bool{}
	for _, r := range s.records("osquery.findings") {
		schematest.Validate(s.t, "stackjoin.finding/1", r.Value)
		var f stolenFinding
		var e struct{ Event struct{ Revision int } }
		for _, v := range []any{&f, &e} {
			if err := json.Unmarshal(r.Value, v); err != nil {
				s.t.Fatal(err)
			}
		}
		if revisions[f.Event.ID] == nil {
			revisions[f.Event.ID] = map[int]bool{}
		}
		if n := e.Event.Revision; revisions[f.Event.ID][n] || n != len(revisions[f.Event.ID]) {
			s.t.Errorf("%s: revision %d comes after %v", f.Event.ID, n, revisions[f.Event.ID])
		}
		revisions[f.Event.ID][e.Event.Revision] = true
		last[f.Event.ID] = f
	}
	return last
}

// watched are the first of the instances, which run osquery.
const watched = 2

// rows send what osquery tells of those.
func (s *site) rows() {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Unix()
	for i := range watched {
		host := fmt.Sprintf("web-%d", i)
		osquery := func(table string, seconds int64, columns string) {
			s.send("osquery.results", host, fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"columns":{%s},"action":"added"}`, table, host, at+seconds, columns))
		}
		osquery("ec2_instance_metadata", 230, fmt.Sprintf(`"instance_id":%q,"account_id":"111122223333","region":"eu-west-1","ami_id":"a"`, instanceID(i)))
		osquery("process_events", 239, fmt.Sprintf(`"pid":"900","parent":"1","path":"/usr/bin/python3.12","cmdline":"python3 /opt/app.py","uid":"0","time":"%d"`, at+239))
	}
}

// later moves the hosts' clocks past the calls.
func (s *site) later() {
	at := time.Date(2026, 11, 23, 16, 30, 0, 0, time.UTC).Unix()
	for i := range watched {
		host := fmt.Sprintf("web-%d", i)
		s.send("osquery.results", host, fmt.Sprintf(`{"name":"uptime","hostIdentifier":%q,"unixTime":%d,"columns":{"total_seconds":"9"},"action":"added"}`, host, at))
	}
}

// settled waits for a finding of each instance with all that is to be known of it.
func (s *site) settled(n int) (all map[string]stolenFinding) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(300 * time.Millisecond) {
		all = s.raised()
		whole := len(all) == n
		for _, f := range all {
			judged := f.Finding.NoSensor || strings.Contains(f.Message, "No process of the host was seen")
			ours := f.Cloud.Instance.ID == instanceID(0) || f.Cloud.Instance.ID == instanceID(1)
			whole = whole && f.Finding.Count == 2 && judged && f.Finding.NoSensor == !ours && strings.Contains(f.Message, "used from the instance itself")
		}
		if whole {
			return all
		}
		if time.Now().After(deadline) {
			for _, f := range all {
				s.t.Logf("%+v", f)
			}
			s.t.Fatalf("waited in vain: %d findings of %d", len(all), n)
		}
	}
}

// A stolen key is told once for each instance, with osquery and without, whatever the
// partitions its records come by, hours late and shuffled, while one of two enrichers
// is killed and another comes: the same findings as on time.
func TestStolenKeysAreToldOnceWhoeverDies(t *testing.T) {
	const instances = 6
	onTime := newSite(t)
	stop := onTime.enricher()
	onTime.rows()
	for i, r := range stolen(t, instances) {
		onTime.send("cloudtrail", fmt.Sprint(i), r)
	}
	onTime.later()
	want := onTime.settled(instances)
	stop()

	s := newSite(t)
	kill := s.process()
	s.enricher()
	s.rows()
	s.later()
	late := stolen(t, instances)
	rng := rand.New(rand.NewPCG(5, 7))
	rng.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	for i, r := range late {
		s.send("cloudtrail", fmt.Sprint(rng.IntN(100)), r)
		switch i {
		case len(late) / 3:
			<-time.After(time.Second) // some is under way
			kill()
		case len(late) / 2:
			s.process()
		}
	}
	got := s.settled(instances)
	if !maps.EqualFunc(got, want, func(a, b stolenFinding) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("late, shuffled and killed:\n%+v\non time:\n%+v", got, want)
	}
}
