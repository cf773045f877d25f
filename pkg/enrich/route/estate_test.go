package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// estate is both stages as enricher run has them, over partitions that two processes
// share. What lies between them arrives in the order of its topic and partition, and
// otherwise when chance wants.
type estate struct {
	t      testing.TB
	rng    *rand.Rand
	s      *story.Story
	early  bool // facts and records come before what rests on them
	trail  []*cloudtrail.Record
	offset int64
	facts  [2]*route.Facts
	known  [2]int // of stated, by each process
	stated [][]byte
	first  []*enrich.Pipeline // of stage 1
	joins  []*enrich.Pipeline // of stage 2
	states []map[string]enrich.State
	sides  [][]enrich.Output // by partition
	told   enrich.Out
	kills  bool
}

const partitions = 3

func newEstate(t testing.TB, seed uint64, s *story.Story, trail []*cloudtrail.Record) *estate {
	e := &estate{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), s: s, trail: trail, facts: [2]*route.Facts{route.NewFacts(nil), route.NewFacts(nil)},
		sides: make([][]enrich.Output, partitions), joins: make([]*enrich.Pipeline, partitions), first: make([]*enrich.Pipeline, partitions),
	}
	for range partitions {
		e.states = append(e.states, map[string]enrich.State{})
	}
	for p := range partitions {
		e.route(p)
		e.join(p)
	}
	return e
}

func (e *estate) state(p int, name string) enrich.State {
	if e.states[p][name] == nil {
		e.states[p][name] = state.NewMemory()
	}
	return e.states[p][name]
}

func (e *estate) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *estate) route(p int) {
	r, err := route.New(route.Config{CloudTrail: []string{"cloudtrail"}}, e.facts[p%2], e.state(p, "route"))
	e.must(err)
	e.first[p] = enrich.NewPipeline(event.NewLenses(), []enrich.Operator{r}, nil)
	e.first[p].Route(r)
}

func (e *estate) join(p int) {
	facts := e.facts[p%2]
	clouds := cloud.New(cloud.Config{
		Facts: facts.Trail(), Uses: facts.Uses(), Apart: true, Group: "g", Partition: int32(p), Labels: e.s.Known(),
	}, e.state(p, "cloud"))
	e.joins[p] = enrich.NewPipeline(event.NewLenses(), []enrich.Operator{
		owner.New("g", int32(p), e.state(p, "owner")), process.New(process.Config{}, e.state(p, "process")), dns.New(dns.Config{}, e.state(p, "dns")), clouds,
	}, nil)
	e.joins[p].Wait(enrich.Waiting{}, e.state(p, "pipeline"))
}

func partitionOf(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % partitions)
}

// pass commits a step: what it wrote is there for others.
func (e *estate) pass(p *enrich.Pipeline, out *enrich.Out) {
	e.t.Helper()
	e.must(p.Seal())
	for _, o := range out.Outputs {
		o.Key, o.Value = bytes.Clone(o.Key), bytes.Clone(o.Value)
		switch o.Stream {
		case enrich.Facts:
			e.stated = append(e.stated, o.Value)
		case enrich.Sides:
			to := int(o.Partition)
			if o.Partition == enrich.ByKey {
				to = partitionOf(string(o.Key))
			}
			e.sides[to] = append(e.sides[to], o)
		case enrich.CloudTrail:
			if o.Schema == cloud.SchemaLink {
				e.told.Add(o)
			}
		default:
			e.told.Add(o)
		}
	}
}

// record hands one record of CloudTrail's to a partition of stage 1.
func (e *estate) record() bool {
	if len(e.trail) == 0 {
		return false
	}
	r := e.trail[0]
	e.trail = e.trail[1:]
	p := e.rng.IntN(partitions)
	e.offset++
	var out enrich.Out
	e.must(e.first[p].Process(context.Background(), enrich.Input{
		Value: r.Raw, Position: enrich.Position{Topic: "cloudtrail", Partition: int32(p), Offset: e.offset}, Appended: e.s.Start,
	}, &out))
	e.pass(e.first[p], &out)
	return true
}

// learn hands the next fact to one of the processes.
func (e *estate) learn(i int) bool {
	if e.known[i] >= len(e.stated) {
		return false
	}
	if value := e.stated[e.known[i]]; value != nil {
		e.must(e.facts[i].Learn(value))
	}
	e.known[i]++
	return true
}

func (e *estate) side(p int) bool {
	if len(e.sides[p]) == 0 {
		return false
	}
	o := e.sides[p][0]
	e.sides[p] = e.sides[p][1:]
	e.offset++
	var out enrich.Out
	e.must(e.joins[p].Process(context.Background(), enrich.Input{
		Key: o.Key, Value: o.Value, Side: true, Position: enrich.Position{Topic: "side", Partition: int32(p), Offset: e.offset}, Appended: e.s.Start,
	}, &out))
	e.pass(e.joins[p], &out)
	return true
}

func (e *estate) idle(p *enrich.Pipeline) {
	var out enrich.Out
	e.must(p.OnIdle(context.Background(), &out))
	e.pass(p, &out)
}

// step does something of what may be done next.
func (e *estate) step() {
	p := e.rng.IntN(partitions)
	switch e.rng.IntN(7) {
	case 0:
		e.record()
	case 1:
		e.learn(p % 2)
	case 2, 3:
		e.side(p)
	case 4:
		e.idle(e.first[p])
	case 5:
		e.idle(e.joins[p])
	case 6:
		if e.kills && e.rng.IntN(4) == 0 {
			e.route(p)
			e.join(p)
		}
	}
}

// Process takes a row of a host's.
func (e *estate) Process(ctx context.Context, in enrich.Input, _ *enrich.Out) error {
	if e.early {
		for e.record() {
			e.settle()
		}
	} else {
		for range e.rng.IntN(6) {
			e.step()
		}
	}
	var row struct {
		Host string `json:"hostIdentifier"`
	}
	if err := json.Unmarshal(in.Value, &row); err != nil {
		return fmt.Errorf("row: %w", err)
	}
	p := partitionOf(row.Host)
	var out enrich.Out
	err := e.joins[p].Process(ctx, in, &out)
	e.pass(e.joins[p], &out)
	return err
}

// settle does all that may be done.
func (e *estate) settle() {
	for busy, rounds := true, 0; busy || rounds < 8; rounds++ {
		busy = false
		for i := range e.facts {
			for e.learn(i) {
				busy = true
			}
		}
		for p := range partitions {
			for e.side(p) {
				busy = true
			}
			e.idle(e.first[p])
			e.idle(e.joins[p])
		}
	}
}

// Finish lets everything arrive.
func (e *estate) Finish(ctx context.Context, out *enrich.Out) error {
	for e.record() {
	}
	e.settle()
	for _, p := range e.joins { // the hosts' clocks stand still: nothing more is to come
		var last enrich.Out
		if err := p.Finish(ctx, &last); err != nil {
			return err
		}
		e.pass(p, &last)
	}
	e.settle()
	for _, o := range e.told.Outputs {
		if !e.takenBack(o) {
			out.Add(o)
		}
	}
	return nil
}

// takenBack tells a finding that the story does not want, and that was taken back when
// more was known.
func (e *estate) takenBack(o enrich.Output) bool {
	if o.Stream != enrich.Findings || slices.ContainsFunc(e.s.Want, func(w story.Want) bool { return w.Finding != "" }) {
		return false
	}
	last := o
	for _, later := range e.told.Outputs {
		if later.Stream == o.Stream && later.ID == o.ID {
			last = later
		}
	}
	return bytes.Contains(last.Value, []byte(`"status":"retracted"`))
}

func stories(t *testing.T, visit func(t *testing.T, s func() *story.Story)) {
	files, err := filepath.Glob("../cloud/testdata/stories/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			visit(t, func() *story.Story {
				s := story.Load(t, path)
				// What a row is told follows from the facts that were known then.
				s.Want = slices.DeleteFunc(s.Want, func(w story.Want) bool { return w.Row != "" })
				return s
			})
		})
	}
}

const trailRecords = "../cloudtrail/testdata/story.json"

// Each story of the cloud joins ends the same in partitions that several processes
// share, however late, shuffled and repeated its records, and whoever is killed in between.
func TestStoriesEndTheSameInPartitions(t *testing.T) {
	stories(t, func(t *testing.T, load func() *story.Story) {
		var want []map[string]any
		for seed := range uint64(8) {
			s := load()
			all := s.Trail(t, trailRecords)
			if seed%3 == 1 { // each has a copy, most often in another partition
				all = append(all, all...)
			}
			e := newEstate(t, seed, s, all)
			if e.early = seed == 0; !e.early {
				e.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				e.kills = seed%2 == 0
			}
			s.Run(t, e)
			got := final(t, &e.told)
			if e.early {
				want = got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d ends otherwise than on time:\n%v\n%v", seed, got, want)
			}
		}
	})
}

// final is what was told last under each id, but for what tells of the telling. Each
// revision of an id is told once.
func final(t testing.TB, out *enrich.Out) (all []map[string]any) {
	last := map[string]map[string]any{}
	for _, o := range out.Outputs {
		if o.Stream != enrich.Findings && o.Schema != cloud.SchemaLink {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal(o.Value, &v); err != nil {
			t.Fatal(err)
		}
		told := v["event"].(map[string]any)
		was := -1.0
		if l := last[o.ID]; l != nil {
			was = l["event"].(map[string]any)["revision"].(float64)
		}
		if told["revision"].(float64) != was+1 {
			t.Errorf("%s: revision %v comes after %v", o.ID, told["revision"], was)
		}
		last[o.ID] = v
	}
	for id, v := range last {
		told := v["event"].(map[string]any)
		delete(told, "revision")
		delete(told, "ingested")
		for _, one := range v["evidence"].([]any) { // where it lay is chance
			maps := one.(map[string]any)
			delete(maps, "partition")
			delete(maps, "offset")
		}
		if f, ok := v["finding"].(map[string]any); ok && f["status"] == "retracted" {
			v = nil // on time it was never raised
		}
		if v != nil {
			v["id"] = id
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(a["id"].(string), b["id"].(string)) })
	return all
}
