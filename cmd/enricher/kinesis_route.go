package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// factsPoll is how often a process looks for new facts: a shard answers all of them
// together five times a second.
const factsPoll = 2 * time.Second

// factsCommit is how often new facts are archived: what came since is in the stream.
const factsCommit = 10 * time.Second

// shardRouting is stage 1 on Kinesis. What it sends to hosts goes among their rows.
type shardRouting struct {
	factsRead
	streams  []kinesis.Config
	archive  *kinesis.Config // nil where no journal is kept
	follower kinesis.Follower
	builder  *joins.Builder
}

// routing says how the streams of stage 1 are read, and checks that they can be.
func (s *shards) routing(ctx context.Context, facts *route.Facts) (*shardRouting, error) {
	r := &shardRouting{factsRead: newFactsRead(facts, s.meter, s.log.With("stage", "route")), builder: s.builder}
	name := s.cfg.Kinesis.Stream(s.cfg.FactsTopic())
	if _, err := kinesis.Shards(ctx, s.client, name); err != nil {
		return nil, fmt.Errorf("what is known of hosts needs a stream of its own, of one shard: %w", err)
	}
	for _, topic := range s.cfg.Inputs.Routed() {
		c, err := s.pushed(ctx, topic, s.cfg.RouteTable(s.cfg.Kinesis.Stream(topic)))
		if err != nil {
			return nil, err
		}
		c.Sensor, c.Log, c.Monitor = slices.Contains(s.cfg.Inputs.Sensor, topic), r.log, s.meter.Route()
		r.streams = append(r.streams, c)
	}
	r.follower = kinesis.Follower{Client: s.client, Stream: name, Poll: factsPoll, Take: facts.Learn, Whole: r.whole, Log: r.log}
	return r, s.archive(ctx, r)
}

// archive has facts kept for longer than their stream keeps them: in the journal, by who
// holds the lease of their shard.
func (s *shards) archive(ctx context.Context, r *shardRouting) error {
	if s.cfg.Kinesis.Journal == "" {
		return nil
	}
	topic := s.cfg.FactsTopic()
	c, err := s.read(ctx, topic, s.cfg.RouteTable(s.cfg.Kinesis.Stream(topic)))
	if err != nil {
		return err
	}
	c.Log, c.Poll, c.Linger, c.Start, c.LookBack = r.log, factsPoll, factsCommit, lease.TrimHorizon, 0
	r.archive = &c
	r.follower.Kept = func(ctx context.Context) (map[string]lease.Checkpoint, error) {
		return kinesis.Kept(ctx, &c, route.ArchiveState, r.facts.Learn)
	}
	return nil
}

// stages follow the facts, and then route each stream.
func (r *shardRouting) stages() []stage {
	all := []stage{func(ctx context.Context) error {
		r.meter.Learning(true)
		r.follower.Run(ctx)
		return nil
	}}
	if c := r.archive; c != nil {
		all = append(all, func(ctx context.Context) error {
			kinesis.Run(ctx, *c, stream.Job{Build: archived, Log: c.Log})
			return nil
		})
	}
	for _, c := range r.streams {
		all = append(all, r.after(func(ctx context.Context) error {
			kinesis.Run(ctx, c, stream.Job{Build: r.build, Observe: r.meter.Observe, Log: r.log})
			return nil
		}))
	}
	return all
}

func (r *shardRouting) build(p stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
	return r.builder.Route("route/"+p.Topic+"/"+strconv.Itoa(int(p.ID)), r.facts, state)
}

// archived is the pipeline that keeps facts.
func archived(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
	p := enrich.NewPipeline(nil, nil, nil)
	p.Route(route.NewArchive(state(route.ArchiveState)))
	return p, nil
}
