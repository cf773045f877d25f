package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is the time of the first rows: noon, so that a test's day does not end.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// told is what a test reads of a finding.
type told struct {
	Event struct {
		ID       string
		Revision int
	}
	Message string
	Rule    struct{ ID string }
	Finding struct {
		Status, Severity  string
		Confidence, Count int
		Executables       []string
	}
	Host    struct{ ID string }
	Process struct {
		Executable string
		Ancestors  []any
	}
	Threat struct {
		Enrichments []struct{ Indicator struct{ Name string } }
	}
	Evidence []struct{ ID string }
}

// desk is a pipeline of the real lookups with a policy at its end.
type desk struct {
	t        testing.TB
	pipeline *enrich.Pipeline
	states   map[string]enrich.State
	cfg      policy.Config
	store    *reputation.Store
	out      enrich.Out
	offset   int64
}

const someJA3 = "6734f37431670b3ab4292b8f60f29984"

// open makes a desk whose feed, of that confidence, lists what is given.
func open(t testing.TB, cfg policy.Config, confidence int, lists ...string) *desk {
	t.Helper()
	var feeds []reputation.Feed
	for i, text := range lists {
		f := reputation.NewFeed("list"+strconv.Itoa(i), filepath.Join(t.TempDir(), "list"+strconv.Itoa(i)))
		f.AllowPrivate, f.Confidence = true, confidence
		if text == someJA3 {
			f.Type = "ja3"
		}
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, f)
	}
	x, report := reputation.Load(context.Background(), feeds, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, cfg: cfg, store: reputation.NewStore(x), states: map[string]enrich.State{}}
	for _, name := range []string{"policy", "process", "pipeline"} {
		d.states[name] = state.NewMemory()
	}
	d.restart()
	return d
}

// restart builds everything anew over the state of before.
func (d *desk) restart() {
	d.t.Helper()
	judge, err := policy.New(d.cfg, d.states["policy"])
	if err != nil {
		d.t.Fatal(err)
	}
	joins := []enrich.Operator{process.New(process.Config{}, d.states["process"])}
	d.pipeline = enrich.NewPipeline(event.NewLenses(), joins, []enrich.Enricher{reputation.New(d.store)})
	d.pipeline.Wait(enrich.Waiting{}, d.states["pipeline"])
	d.pipeline.Judge(judge)
}

// row hands in one row of a host, some time after start, and returns the findings
// that came at once.
func (d *desk) row(host string, at time.Duration, table, columns string) []told {
	d.t.Helper()
	when := start.Add(at).Unix()
	value := fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"action":"added","columns":{"time":"%d",%s}}`, table, host, when, when, columns)
	return d.put(enrich.Input{Value: []byte(value)})
}

func (d *desk) put(in enrich.Input) []told {
	d.t.Helper()
	d.offset++
	in.Position = enrich.Position{Topic: "results", Offset: d.offset}
	d.out.Reset()
	if err := d.pipeline.Process(context.Background(), in, &d.out); err != nil {
		d.t.Fatal(err)
	}
	if err := d.pipeline.Seal(); err != nil {
		d.t.Fatal(err)
	}
	return d.findings()
}

func (d *desk) finish() []told {
	d.t.Helper()
	d.out.Reset()
	if err := d.pipeline.Finish(context.Background(), &d.out); err != nil {
		d.t.Fatal(err)
	}
	return d.findings()
}

func (d *desk) findings() (all []told) {
	d.t.Helper()
	for _, o := range d.out.Outputs {
		if o.Stream != enrich.Findings {
			continue
		}
		schematest.Validate(d.t, finding.Schema, o.Value)
		var f told
		if err := json.Unmarshal(o.Value, &f); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// connect is a socket row.
func (d *desk) connect(host string, at time.Duration, path, address string) []told {
	d.t.Helper()
	return d.row(host, at, "socket_events",
		fmt.Sprintf(`"action":"connect","pid":"7","path":%q,"remote_address":%q,"remote_port":"443","status":"succeeded"`, path, address))
}

func one(t testing.TB, all []told) told {
	t.Helper()
	if len(all) != 1 {
		t.Fatalf("%d findings, want one: %+v", len(all), all)
	}
	return all[0]
}

func TestAMatchIsOneFindingADayToldAtOnceThenOnceAMinute(t *testing.T) {
	d := open(t, policy.Config{}, 80, "198.51.100.7\n")
	first := one(t, d.connect("web", 0, "/usr/bin/curl", "198.51.100.7"))
	if first.Event.Revision != 0 || first.Finding.Count != 1 || first.Finding.Severity != "high" || first.Finding.Status != "open" ||
		first.Rule.ID != finding.MatchAddress || len(first.Evidence) != 1 || first.Message != "curl on web connected to 198.51.100.7, which list0 lists." {
		t.Errorf("%+v", first)
	}
	for i := range 30 {
		if got := d.connect("web", time.Duration(i)*time.Second, "/usr/bin/wget", "198.51.100.7"); len(got) > 0 {
			t.Fatalf("told again after %d s: %+v", i, got)
		}
	}
	again := one(t, d.connect("web", time.Minute, "/usr/bin/curl", "198.51.100.7"))
	if again.Event.ID != first.Event.ID || again.Event.Revision != 1 || again.Finding.Count != 32 ||
		!slices.Equal(again.Finding.Executables, []string{"/usr/bin/curl", "/usr/bin/wget"}) {
		t.Errorf("%+v", again)
	}
	if got := d.row("web", 3*time.Minute, "process_events", `"pid":"9","path":"/bin/ls"`); len(got) > 0 {
		t.Errorf("nothing changed, and it was told: %+v", got)
	}
	other, tomorrow := one(t, d.connect("db", 0, "/usr/bin/curl", "198.51.100.7")), one(t, d.connect("web", 13*time.Hour, "/usr/bin/curl", "198.51.100.7"))
	if other.Event.ID == first.Event.ID || tomorrow.Event.ID == first.Event.ID {
		t.Error("another host or day is no finding of its own")
	}
}

func TestWhatWaitsIsToldWhenTheClockMovesOrTheInputEnds(t *testing.T) {
	d := open(t, policy.Config{}, 80, "198.51.100.7\n")
	one(t, d.connect("web", 0, "/a", "198.51.100.7"))
	d.connect("web", time.Second, "/b", "198.51.100.7")
	d.restart()
	if f := one(t, d.row("web", 2*time.Minute, "process_events", `"pid":"9","path":"/bin/ls"`)); f.Event.Revision != 1 || f.Finding.Count != 2 {
		t.Errorf("%+v", f)
	}
	d.connect("web", 2*time.Minute+time.Second, "/c", "198.51.100.7")
	if f := one(t, d.finish()); f.Event.Revision != 2 || f.Finding.Count != 3 {
		t.Errorf("%+v", f)
	}
	if got := d.finish(); len(got) > 0 {
		t.Errorf("told twice: %+v", got)
	}
}

// What anyone can bring about, or honest programs share, is at most low alone.
func TestSeverityGoesByConfidenceAndByWhatWasMet(t *testing.T) {
	const lists, connect = "198.51.100.7\nevil.example\n", `"action":"connect","pid":"7","remote_address":"198.51.100.7","remote_port":"443","status":`
	for _, c := range []struct {
		name, table, columns string
		confidence           int
		want                 string
	}{
		{"sure", "socket_events", connect + `"succeeded"`, 75, "high"},
		{"half sure", "socket_events", connect + `"in_progress"`, 74, "medium"},
		{"hardly", "socket_events", connect + `"succeeded"`, 39, "low"},
		{"failed", "socket_events", connect + `"failed"`, 100, "low"},
		{"inbound", "socket_events", strings.Replace(connect, "connect", "accept", 1) + `"succeeded"`, 100, "low"},
		{"nobody knows who began", "process_open_sockets", `"pid":"7","remote_address":"198.51.100.7","remote_port":"1","local_port":"2","state":"ESTABLISHED"`, 100, "medium"},
		{"command line", "process_events", `"pid":"8","path":"/usr/bin/curl","cmdline":"curl evil.example"`, 100, "low"},
		{"looked up", "dns_lookup_events", `"name":"a.evil.example","type":"A","response":"","pid":"7"`, 100, "high"},
	} {
		d := open(t, policy.Config{}, c.confidence, lists)
		if f := one(t, d.row("web", 0, c.table, c.columns)); f.Finding.Severity != c.want || f.Finding.Confidence != c.confidence {
			t.Errorf("%s: %s, want %s: %s", c.name, f.Finding.Severity, c.want, f.Message)
		}
	}
}

func TestAFingerprintAloneIsLowAndBesideAnAddressIsNot(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "low", "198.51.100.7": "high"} {
		d := open(t, policy.Config{}, 90, "198.51.100.7\n", someJA3)
		all := d.put(enrich.Input{Sensor: true, Value: []byte(`{"_path":"ssl","ts":1795428680.5,"uid":"C","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"` +
			address + `","id.resp_p":443,"ja3":"` + someJA3 + `"}`)})
		i := slices.IndexFunc(all, func(f told) bool { return f.Rule.ID == finding.MatchFingerprint })
		if i < 0 || all[i].Finding.Severity != want || !strings.HasPrefix(all[i].Message, "A machine at 10.0.0.1 spoke TLS") {
			t.Errorf("%s: %+v, want %s", address, all, want)
		}
	}
}

// A finding that matters more is told at once, whatever the minute says.
func TestAFindingThatGetsWorseIsToldAtOnce(t *testing.T) {
	d := open(t, policy.Config{}, 90, "evil.example\n")
	low := one(t, d.row("web", 0, "process_events", `"pid":"8","path":"/usr/bin/curl","cmdline":"curl evil.example"`))
	worse := one(t, d.row("web", time.Second, "dns_lookup_events", `"name":"evil.example","type":"A","response":"","pid":"8"`))
	if worse.Event.ID != low.Event.ID || worse.Event.Revision != 1 || low.Finding.Severity != "low" || worse.Finding.Severity != "high" ||
		!strings.Contains(worse.Message, "looked up evil.example") {
		t.Errorf("%+v, then %+v", low, worse)
	}
}

// Several lists of one value, and several values of one event, are one hit.
func TestAnEventIsCountedOnceHoweverManyListsAndFieldsMeet(t *testing.T) {
	d := open(t, policy.Config{}, 80, "evil.example\n", "evil.example\n", "cdn.evil.example\n")
	all := d.row("web", 0, "process_events", `"pid":"8","path":"/usr/bin/curl","cmdline":"curl evil.example http://www.evil.example/"`)
	f := one(t, all)
	if f.Finding.Count != 1 || len(f.Threat.Enrichments) != 2 || !strings.Contains(f.Message, "so say list1") {
		t.Errorf("%+v", f)
	}
}

// Of two values of one event that meet the same indicator the firm one counts.
func TestAWeakMatchDoesNotHideAFirmOneOfTheSameIndicator(t *testing.T) {
	d := open(t, policy.Config{}, 90, "198.51.100.7\n")
	f := one(t, d.put(enrich.Input{Sensor: true, Value: []byte(`{"_path":"dns","ts":1795428680.5,"uid":"C","id.orig_h":"198.51.100.7","id.orig_p":1,` +
		`"id.resp_h":"10.0.0.1","id.resp_p":53,"query":"a.example","answers":["198.51.100.7"],"TTLs":[1.0]}`)}))
	if f.Finding.Severity != "high" || f.Finding.Count != 1 {
		t.Errorf("%+v", f)
	}
}

// An event that waits for its process raises its finding at once, which then gets
// the process without counting the event again.
func TestAHeldEventIsTakenAtOnceAndCountedOnce(t *testing.T) {
	d := open(t, policy.Config{}, 80, "198.51.100.7\n")
	if f := one(t, d.connect("web", 5*time.Second, "/usr/bin/curl", "198.51.100.7")); f.Process.Executable != "" {
		t.Errorf("%+v", f)
	}
	if slices.ContainsFunc(d.out.Outputs, func(o enrich.Output) bool { return o.Stream == enrich.Enriched }) {
		t.Fatal("the event is not held, so that this test tests nothing")
	}
	d.row("web", time.Second, "process_events", `"pid":"1","parent":"0","path":"/sbin/init","cmdline":"init"`)
	d.row("web", 2*time.Second, "process_events", `"pid":"7","parent":"1","path":"/usr/bin/curl","cmdline":"curl x"`)
	f := one(t, d.row("web", 2*time.Minute, "process_events", `"pid":"9","path":"/bin/ls"`))
	if f.Finding.Count != 1 || f.Event.Revision != 1 || f.Process.Executable != "/usr/bin/curl" || len(f.Process.Ancestors) != 1 {
		t.Errorf("%+v", f)
	}
}
