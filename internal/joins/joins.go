// Package joins builds what a partition's rows are taken through: the same for rows
// out of Kafka, for the files of a scan, and for stories in tests.
//
// It must never do I/O, nor know where rows come from.
package joins

import (
	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/retro"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Builder makes pipelines. It is safe for concurrent use.
type Builder struct {
	cfg     *enricherconf.Config
	lenses  *event.Lenses
	lookups []enrich.Enricher
	feeds   *reputation.Store // of those that look in what has passed; nil for none
}

// NewBuilder returns a Builder of pipelines as cfg wants them, which share the feeds
// in store and the databases of countries and networks in places, nil for none.
func NewBuilder(cfg *enricherconf.Config, store *reputation.Store, places *geo.Store) *Builder {
	b := &Builder{cfg: cfg, lenses: event.NewLenses(cfg.CustomLenses()...), lookups: []enrich.Enricher{reputation.New(store)}}
	if places != nil {
		b.lookups = append(b.lookups, places)
	}
	return b
}

// LookBack has the pipelines find what was met before the feeds knew of it, where the
// configuration does not switch that off. It is called before Build.
func (b *Builder) LookBack(store *reputation.Store) {
	if b.cfg.Retro.Window > 0 {
		b.feeds, b.lookups[0] = store, reputation.NewObserving(store)
	}
}

// Build returns the pipeline of one partition, which findings about it name: a guard,
// joins and a judge that own its state, which state gives by the operator's name, and
// lookups that all partitions share. The error is one of the state.
func (b *Builder) Build(partition string, state func(operator string) enrich.State) (*enrich.Pipeline, error) {
	books, err := ledger.New(b.cfg.Ledger(), state("ledger"))
	if err != nil {
		return nil, err
	}
	judge, err := policy.New(b.cfg.Policy(partition), state("policy"))
	if err != nil {
		return nil, err
	}
	operators := []enrich.Operator{process.New(b.cfg.Process(), state("process")), dns.New(b.cfg.DNS(), state("dns"))}
	p := enrich.NewPipeline(b.lenses, operators, b.lookups)
	p.Guard(books)
	p.Judge(judge)
	p.Wait(b.cfg.Waiting(), state("pipeline"))
	if b.feeds != nil {
		watch, err := retro.New(retro.Config{Window: b.cfg.Retro.Window.Std(), Feeds: func() retro.Feeds { return b.feeds.Current() }}, state("retro"))
		if err != nil {
			return nil, err
		}
		p.Retro(watch)
	}
	return p, nil
}
