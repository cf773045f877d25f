package cloud_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// records are the ones that stories are made of.
const records = "../cloudtrail/testdata/story.json"

// teller takes a story's rows through the joins. Records of CloudTrail's are there
// before the rows, or come when all of them have been, or in between.
type teller struct {
	*enrich.Pipeline
	cfg    cloud.Config
	clouds enrich.Operator
	late   []enrich.Side
	every  int // rows between two records that come in between
	rows   int
}

func (p *teller) Process(ctx context.Context, in enrich.Input, out *enrich.Out) error {
	if err := p.Pipeline.Process(ctx, in, out); err != nil {
		return err
	}
	p.rows++
	if p.every == 0 || p.rows%p.every != 0 {
		return nil
	}
	return p.side(1, out)
}

func (p *teller) side(n int, out *enrich.Out) error {
	for ; n > 0 && len(p.late) > 0; n-- {
		if err := p.clouds.OnSide(&p.late[0], out); err != nil {
			return err
		}
		p.late = p.late[1:]
	}
	return nil
}

func (p *teller) Finish(ctx context.Context, out *enrich.Out) error {
	if err := p.side(len(p.late), out); err != nil {
		return err
	}
	return p.Pipeline.Finish(ctx, out)
}

// telling builds the joins over what a story's records state.
func telling(t testing.TB, s *story.Story, all []*cloudtrail.Record) *teller {
	t.Helper()
	facts, uses := cloudtrail.NewTable(0), cloudtrail.NewTable(0)
	for _, r := range all {
		for _, f := range cloudtrail.Extract(nil, r) {
			facts.Add(f)
		}
	}
	p := &teller{}
	for i, r := range all {
		if f, ok := cloudtrail.Uses(r); ok {
			uses.Add(f)
		}
		if h := facts.Host(r); h.ID != "" && h.Proof != cloudtrail.ProofSessionName {
			p.late = append(p.late, enrich.Side{
				Host: enrich.Host(h.ID), Kind: cloud.Side, Time: r.Time, Value: r.Raw, Position: enrich.Position{Topic: "cloudtrail", Offset: int64(i)},
			})
		}
	}
	p.cfg = cloud.Config{Facts: facts, Uses: uses, Labels: s.Known()}
	p.over(cloud.New(p.cfg, state.NewMemory()))
	return p
}

// over puts an operator behind the joins that it needs.
func (p *teller) over(clouds enrich.Operator) {
	p.clouds, p.Pipeline = clouds, pipelineOver(clouds)
}

func pipelineOver(clouds enrich.Operator) *enrich.Pipeline {
	operators := []enrich.Operator{process.New(process.Config{}, state.NewMemory()), dns.New(dns.Config{}, state.NewMemory()), clouds}
	p := enrich.NewPipeline(event.NewLenses(), operators, nil)
	p.Wait(enrich.Waiting{}, state.NewMemory())
	return p
}

// Each file of testdata/stories is rows and records in, and what is told out: the same
// whether the records come before the rows, hours late, or shuffled in between.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		s := story.Load(t, path)
		t.Run(name+"/before", func(t *testing.T) {
			p := telling(t, s, s.Trail(t, records))
			if err := p.side(len(p.late), nil); err != nil {
				t.Fatal(err)
			}
			s.Run(t, p)
		})
		t.Run(name+"/late", func(t *testing.T) {
			all := s.Trail(t, records)
			slices.Reverse(all)
			s.Run(t, telling(t, s, all))
		})
		for seed := range uint64(4) {
			t.Run(name+"/shuffled", func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 7))
				all := s.Trail(t, records)
				rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				p := telling(t, s, all)
				p.every = 1 + rng.IntN(3)
				s.Run(t, p)
			})
		}
	}
}
