package joins_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

func defaults(t *testing.T) *enricherconf.Config {
	t.Helper()
	cfg, err := enricherconf.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// known is a Trail without a fact, and with these records.
func known(cfg *enricherconf.Config, sides ...enrich.Side) *joins.Trail {
	c := cfg.Cloud()
	c.Facts = cloudtrail.NewTable(0)
	c.Uses = cloudtrail.NewTable(0)
	return &joins.Trail{Cloud: c, Sides: sides}
}

// build is one of a Builder's ways to make a pipeline.
type build func(*joins.Builder, func(string) enrich.State) (*enrich.Pipeline, error)

func partition(b *joins.Builder, state func(string) enrich.State) (*enrich.Pipeline, error) {
	return b.Build("rows/3", 3, state)
}

func routed(b *joins.Builder, state func(string) enrich.State) (*enrich.Pipeline, error) {
	return b.Route("route/3", route.NewFacts(nil), state)
}

func alone(b *joins.Builder, state func(string) enrich.State) (*enrich.Pipeline, error) {
	return b.Alone("rows", state)
}

// The names are those under which state is kept from one version to the next: one that
// changes is one whose state is lost, and one that is asked for where nothing needs it
// is space for nothing.
func TestEachPipelineAsksForTheStateOfItsOperators(t *testing.T) {
	const rows = "dns ledger pipeline policy process"
	for name, test := range map[string]struct {
		build build
		set   func(*enricherconf.Config, *joins.Builder)
		want  string
	}{
		"rows alone":            {build: partition, want: rows},
		"with a routed topic":   {build: partition, set: func(c *enricherconf.Config, _ *joins.Builder) { c.Inputs.Sensor = []string{"zeek"} }, want: rows + " owner flow"},
		"with CloudTrail":       {build: partition, set: func(c *enricherconf.Config, b *joins.Builder) { b.Trail(known(c)) }, want: rows + " cloud"},
		"looking back":          {build: partition, set: func(_ *enricherconf.Config, b *joins.Builder) { b.LookBack(reputation.NewStore(nil)) }, want: rows + " retro"},
		"told not to look back": {build: partition, set: unwatched, want: rows},
		"stage 1":               {build: routed, want: "policy route"},
		"stage 1 looking back":  {build: routed, set: func(_ *enricherconf.Config, b *joins.Builder) { b.LookBack(reputation.NewStore(nil)) }, want: "policy route retro"},
		"all of it":             {build: alone, want: rows + " owner flow route"},
		"all, with CloudTrail":  {build: alone, set: func(c *enricherconf.Config, b *joins.Builder) { b.Trail(known(c)) }, want: rows + " owner flow route cloud"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaults(t)
			b := joins.NewBuilder(cfg, reputation.NewStore(nil), nil)
			if test.set != nil {
				test.set(cfg, b)
			}
			asked := map[string]bool{}
			if _, err := test.build(b, func(operator string) enrich.State { asked[operator] = true; return state.NewMemory() }); err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(test.want)
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(asked)); !slices.Equal(got, want) {
				t.Errorf("asked for %v, want %v", got, want)
			}
		})
	}
}

func unwatched(c *enricherconf.Config, b *joins.Builder) {
	c.Retro.Window = 0
	b.LookBack(reputation.NewStore(nil))
}

var errDisk = errors.New("disk is gone")

// broken is a State that cannot be read or written.
type broken struct{ enrich.State }

func (broken) Get(enrich.Host, []byte) ([]byte, error)                       { return nil, errDisk }
func (broken) Put(enrich.Host, []byte, []byte) error                         { return errDisk }
func (broken) Scan(enrich.Host, []byte, func(key, value []byte) error) error { return errDisk }
func (broken) Hosts(func(enrich.Host) error) error                           { return errDisk }

// A partition whose state cannot be read must not be taken up as one that has none.
func TestAnUnreadableStateStopsTheBuild(t *testing.T) {
	for name, test := range map[string]struct {
		build build
		of    []string
	}{
		"a partition": {partition, []string{"pipeline", "ledger", "policy", "retro"}},
		"stage 1":     {routed, []string{"route", "policy", "retro"}},
		"all of it":   {alone, []string{"pipeline", "ledger", "policy", "route"}},
	} {
		for _, operator := range test.of {
			t.Run(name+"/"+operator, func(t *testing.T) {
				b := joins.NewBuilder(defaults(t), reputation.NewStore(nil), nil)
				b.LookBack(reputation.NewStore(nil))
				_, err := test.build(b, func(o string) enrich.State {
					if o == operator {
						return broken{state.NewMemory()}
					}
					return state.NewMemory()
				})
				if !errors.Is(err, errDisk) {
					t.Errorf("built with %v", err)
				}
			})
		}
	}
}

const asks = `{"eventVersion":"1.08","eventID":"5f6f7c6e-5f2a-4f0e-9c0e-0f1c3b7a9d21","eventTime":"2026-09-21T14:13:21Z","eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity","awsRegion":"eu-west-1","sourceIPAddress":"54.1.2.3","userAgent":"aws-cli/2.0","recipientAccountId":"111122223333","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:i-0abcd1234567890ef","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0abcd1234567890ef","accountId":"111122223333","accessKeyId":"ASIAEXAMPLEKEY000001","sessionContext":{"ec2RoleDelivery":"2.0","attributes":{"creationDate":"2026-09-21T10:00:00Z"},"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/web","accountId":"111122223333","userName":"web"}}}}`

// A scan's records of instances' credentials are taken before its first row, and one
// that cannot be kept says where it was read.
func TestAPartitionIsBuiltWithTheTrailsRecords(t *testing.T) {
	cfg := defaults(t)
	b := joins.NewBuilder(cfg, reputation.NewStore(nil), nil)
	b.Trail(known(cfg, enrich.Side{
		Host: "i-0abcd1234567890ef", Kind: cloud.Side, Value: []byte(asks), Position: enrich.Position{Topic: "trail.json", Offset: 41},
	}))
	kept := state.NewMemory()
	p, err := partition(b, func(o string) enrich.State {
		if o == "cloud" {
			return kept
		}
		return state.NewMemory()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Seal(); err != nil {
		t.Fatal(err)
	}
	hosts := 0
	if err := kept.Hosts(func(enrich.Host) error { hosts++; return nil }); err != nil || hosts == 0 {
		t.Errorf("%d hosts kept, %v", hosts, err)
	}

	_, err = partition(b, func(o string) enrich.State {
		if o == "cloud" {
			return broken{state.NewMemory()}
		}
		return state.NewMemory()
	})
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "trail.json") {
		t.Errorf("built with %v", err)
	}
}

// listing is a store whose one list has this address.
func listing(t *testing.T, address string) *reputation.Store {
	t.Helper()
	f := reputation.NewFeed("list", filepath.Join(t.TempDir(), "list"))
	f.Confidence = 90
	if err := os.WriteFile(f.Path, []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, report := reputation.Load(t.Context(), []reputation.Feed{f}, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return reputation.NewStore(x)
}

const connects = `{"name":"socket_events","hostIdentifier":"h","unixTime":1790000000,"action":"added","columns":{"action":"connect","pid":"7","path":"/bin/a","remote_address":"46.0.0.1","remote_port":"443","protocol":"6","family":"2","time":"1790000000","eid":"1"}}`

// Readers keep the highest revision. After a loss of state a finding must come above what
// was told of it before, or the old one stays for good; and the row says what may be
// missing.
func TestFindingsAfterALossOfStateAreAboveThoseBefore(t *testing.T) {
	for base, want := range map[int]bool{0: false, 1 << 20: true} {
		cfg := defaults(t)
		cfg.Joins.Emit = "immediate"
		states := map[string]enrich.State{}
		at := func(operator string) enrich.State {
			if states[operator] == nil {
				states[operator] = state.NewMemory()
			}
			return states[operator]
		}
		if base > 0 {
			if err := enrich.MarkPartial(at("pipeline"), enrich.Partial{Base: base, Until: time.Unix(1790000100, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		p, err := partition(joins.NewBuilder(cfg, listing(t, "46.0.0.1"), nil), at)
		if err != nil {
			t.Fatal(err)
		}
		var out enrich.Out
		in := enrich.Input{Value: []byte(connects), Position: enrich.Position{Topic: "rows"}, Appended: time.Unix(1790000001, 0)}
		if err := errors.Join(p.Process(t.Context(), in, &out), p.Finish(t.Context(), &out)); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, o := range out.Outputs {
			if o.Stream != enrich.Findings {
				if strings.Contains(string(o.Value), enrich.StatePartial) != want {
					t.Errorf("base %d: %s", base, o.Value)
				}
				continue
			}
			var f struct{ Event struct{ Revision int } }
			if err := json.Unmarshal(o.Value, &f); err != nil {
				t.Fatal(err)
			}
			found++
			if (f.Event.Revision >= 1<<20) != want {
				t.Errorf("base %d: revision %d in %s", base, f.Event.Revision, o.Value)
			}
		}
		if found == 0 {
			t.Fatalf("base %d: no finding in %d records", base, len(out.Outputs))
		}
	}
}
