package main

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// routing is stage 1: what does not come keyed by its host.
type routing struct {
	factsRead
	cfg     *enricherconf.Config
	kafka   stream.KafkaConfig
	builder *joins.Builder
}

// routeConfig is stage 1's part of the cluster, beside that of stage 2.
func routeConfig(cfg *enricherconf.Config, joined stream.KafkaConfig, log *slog.Logger) stream.KafkaConfig {
	k := joined
	k.Group, k.StateTopic = cfg.RouteGroup(), cfg.RouteGroup()
	k.Inputs, k.Sensors, k.Side = cfg.Inputs.Routed(), cfg.Inputs.Sensor, ""
	k.Outputs = maps.Clone(joined.Outputs)
	k.Outputs[enrich.Sides] = cfg.SideTopic()
	if k.StateDir != "" {
		k.StateDir = filepath.Join(k.StateDir, "route")
	}
	k.Log = log.With("stage", "route")
	return k
}

// follow learns the facts until ctx ends, and tells when all that were there are known.
func (r *routing) follow(ctx context.Context) error {
	r.meter.Learning(true)
	follower := stream.Follower{
		Connection: r.kafka.Connection, Topic: r.kafka.Outputs[enrich.Facts], Take: r.learn, Log: r.kafka.Log,
		Whole: r.whole,
	}
	return follower.Run(ctx)
}

// run routes until ctx ends.
func (r *routing) run(ctx context.Context) error {
	kafka := r.kafka
	kafka.Monitor = r.meter.Route()
	return stream.RunKafka(ctx, kafka, r.cfg.Members(), stream.Job{Build: r.build, Observe: r.meter.Observe, Log: kafka.Log})
}

// learn takes a fact in, or out where it was deleted.
func (r *routing) learn(key, value []byte) error {
	if value == nil {
		return r.facts.Forget(key)
	}
	return r.facts.Learn(value)
}

func (r *routing) build(p stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
	return r.builder.Route("route/"+strconv.Itoa(int(p.ID)), r.facts, state)
}

// trailReputation asks the feeds in use about the addresses of API calls.
type trailReputation struct{ store *reputation.Store }

func (t trailReputation) Address(dst []enrich.Threat, a netip.Addr, port uint16, at time.Time) []enrich.Threat {
	return t.store.Current().Address(dst, a, port, at)
}

func (t trailReputation) Missing() []string { return t.store.Current().Missing() }
