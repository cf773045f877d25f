// Package joins builds what a partition's rows are taken through: the same for rows
// out of Kafka, for the files of a scan, and for stories in tests.
//
// It must never do I/O, nor know where rows come from.
package joins

import (
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/flow"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/retro"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Builder makes pipelines. It is safe for concurrent use.
type Builder struct {
	cfg     *enricherconf.Config
	lenses  *event.Lenses
	lookups []enrich.Enricher
	feeds   *reputation.Store // of those that look in what has passed; nil for none
	trail   *Trail
	places  *geo.Store // nil for none
}

// Trail is what is known of CloudTrail before the first row.
type Trail struct {
	Cloud cloud.Config
	// Sides are records of instances' credentials, for the one partition of a scan.
	Sides []enrich.Side
}

// NewBuilder returns a Builder of pipelines as cfg wants them, which share the feeds
// in store and the databases of countries and networks in places, nil for none.
func NewBuilder(cfg *enricherconf.Config, store *reputation.Store, places *geo.Store) *Builder {
	b := &Builder{cfg: cfg, lenses: event.NewLenses(cfg.CustomLenses()...), lookups: []enrich.Enricher{reputation.New(store)}}
	if places != nil {
		b.lookups, b.places = append(b.lookups, places), places
	}
	return b
}

// Trail has hosts joined with what CloudTrail tells of them. It is called before Build.
func (b *Builder) Trail(t *Trail) {
	b.trail = t
	if b.places != nil {
		t.Cloud.Locate = b.places.Locate
	}
}

// LookBack has the pipelines find what was met before the feeds knew of it, where the
// configuration does not switch that off. It is called before Build.
func (b *Builder) LookBack(store *reputation.Store) {
	if b.cfg.Retro.Window > 0 {
		b.feeds, b.lookups[0] = store, reputation.NewObserving(store)
	}
}

// Build returns the pipeline of one partition, which findings about it name by name, and
// facts by number: a guard, joins and a judge that own its state, which state gives by
// the operator's name, and lookups that all partitions share. The error is one of the
// state.
func (b *Builder) Build(name string, number int32, state func(operator string) enrich.State) (*enrich.Pipeline, error) {
	var first []enrich.Operator
	if len(b.cfg.Inputs.Routed()) > 0 {
		if b.cfg.Kinesis != nil {
			number = enrich.ByKey // shards come and go, a host's key stays
		}
		first = []enrich.Operator{owner.New(b.cfg.Group, number, state("owner")), flow.New(b.cfg.Flow(), state("flow"))}
	}
	return b.pipeline(name, number, first, state)
}

// Route returns the pipeline of one partition of what does not come keyed by hosts. It
// asks lookups, and sends on what is for hosts that facts name.
func (b *Builder) Route(name string, facts *route.Facts, state func(operator string) enrich.State) (*enrich.Pipeline, error) {
	router, err := route.New(b.cfg.Route(), facts, state("route"))
	if err != nil {
		return nil, err
	}
	judge, err := policy.New(b.cfg.Policy(name), state("policy"))
	if err != nil {
		return nil, err
	}
	p := enrich.NewPipeline(b.lenses, []enrich.Operator{router}, b.lookups)
	p.Route(router)
	p.Judge(judge)
	return p, b.lookBack(p, state)
}

// Alone returns the pipeline that does all of this by itself, over rows and sensors'
// records that come one after the other. Nothing is forgotten for its age.
func (b *Builder) Alone(name string, state func(operator string) enrich.State) (*enrich.Pipeline, error) {
	facts := route.NewFacts(nil)
	router, err := route.New(b.cfg.Route(), facts, state("route"))
	if err != nil {
		return nil, err
	}
	sockets := b.cfg.Flow()
	sockets.Keep = ages
	p, err := b.pipeline(name, 0, []enrich.Operator{owner.New(b.cfg.Group, 0, state("owner")), flow.New(sockets, state("flow")), router}, state)
	if err != nil {
		return nil, err
	}
	p.Alone(facts.Learn)
	return p, nil
}

// ages is longer than any file goes back.
const ages = 100 * 365 * 24 * time.Hour

func (b *Builder) pipeline(name string, number int32, first []enrich.Operator, state func(operator string) enrich.State) (*enrich.Pipeline, error) {
	lost, err := enrich.ReadPartial(state("pipeline"))
	if err != nil {
		return nil, err
	}
	booking, judging := b.cfg.Ledger(), b.cfg.Policy(name)
	booking.Revision, judging.Revision = int64(lost.Base), int64(lost.Base)
	books, err := ledger.New(booking, state("ledger"))
	if err != nil {
		return nil, err
	}
	judge, err := policy.New(judging, state("policy"))
	if err != nil {
		return nil, err
	}
	operators := append(first, process.New(b.cfg.Process(), state("process")), dns.New(b.cfg.DNS(), state("dns")))
	if b.trail != nil {
		joined := b.trail.Cloud
		joined.Group, joined.Partition = b.cfg.Group, number
		clouds := cloud.New(joined, state("cloud"))
		for i := range b.trail.Sides {
			if err := clouds.OnSide(&b.trail.Sides[i], nil); err != nil {
				return nil, fmt.Errorf("CloudTrail's record at %s: %w", b.trail.Sides[i].Position, err)
			}
		}
		operators = append(operators, clouds)
	}
	p := enrich.NewPipeline(b.lenses, operators, b.lookups)
	p.Partial(lost)
	p.Guard(books)
	p.Judge(judge)
	p.Wait(b.cfg.Waiting(), state("pipeline"))
	return p, b.lookBack(p, state)
}

// lookBack has the pipeline find what was met before, where LookBack was called.
func (b *Builder) lookBack(p *enrich.Pipeline, state func(operator string) enrich.State) error {
	if b.feeds == nil {
		return nil
	}
	watch, err := retro.New(retro.Config{Window: b.cfg.Retro.Window.Std(), Feeds: func() retro.Feeds { return b.feeds.Current() }}, state("retro"))
	if err != nil {
		return err
	}
	p.Retro(watch)
	return nil
}
