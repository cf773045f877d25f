package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/gcpace"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/internal/version"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

func runCommand(std streams) *cobra.Command {
	var path string
	var acceptLoss bool
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Consume osquery rows from Kafka or Kinesis and write enriched rows, until SIGTERM",
		Long: `Joins the consumer group, takes the rows of its partitions through the joins and
writes one enriched row for each. Output, state and input offsets are committed in
one transaction (delivery: exactly_once). What does not come keyed by its host
(inputs.sensor, inputs.cloudtrail, inputs.rekey) is taken to its host's partition
first. With a kinesis section it reads streams, of which processes with the same
lease table share the shards, at least once (docs/kinesis.md). SIGTERM and Ctrl-C end
it with nothing half done. It refuses to start with a wrong configuration, without a
broker or topic,
with a feed that cannot be loaded and has no last good copy in state.dir, or when
the group has read rows of which the state topic knows nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := enricherconf.Load(path)
			if err != nil {
				return err
			}
			log := logging.New(cfg.Log, std.err)
			err = consume(cmd.Context(), cfg, acceptLoss, log)
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) { // which may be while it starts
				log.Info("stopped as asked", "while", err)
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (docs/config.md)")
	cmd.Flags().BoolVar(&acceptLoss, "accept-state-loss", false, "go on with nothing known where the state topic is empty; not to be left on")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// consume runs the enricher until ctx ends.
func consume(ctx context.Context, cfg *enricherconf.Config, acceptLoss bool, log *slog.Logger) error {
	if cfg.Kinesis != nil {
		return runWith(ctx, cfg, log, fromKinesis)
	}
	kafka, err := kafkaConfig(cfg, log)
	if err != nil {
		return err
	}
	kafka.AcceptStateLoss = acceptLoss
	return consumeFrom(ctx, cfg, kafka, log)
}

// consumeFrom runs the consumer groups' sessions, the feeds' reloader and the
// metrics until ctx ends, and waits for them all.
func consumeFrom(ctx context.Context, cfg *enricherconf.Config, kafka stream.KafkaConfig, log *slog.Logger) error {
	return runWith(ctx, cfg, log, func(ctx context.Context, p *parts) ([]stage, error) { return fromKafka(ctx, p, kafka) })
}

// parts is what all stages of a process share.
type parts struct {
	cfg     *enricherconf.Config
	store   *reputation.Store
	places  *geo.Store // nil for none
	builder *joins.Builder
	meter   *metrics.Enricher
	log     *slog.Logger
}

// heapRoom is how much garbage there may be before it is collected: a transaction's worth
// of several sessions.
const heapRoom = 64 << 20

// stage runs until its context ends.
type stage func(context.Context) error

// runWith runs the stages that from makes, once it has checked what they need, with
// all that is beside them.
func runWith(ctx context.Context, cfg *enricherconf.Config, log *slog.Logger, from func(context.Context, *parts) ([]stage, error)) error {
	feeds := feedKeeper{feeds: cfg.FeedList(), loader: reputation.Loader{Dir: cfg.State.Dir, Keep: cfg.Retro.Window.Std(), Header: cfg.Header}, log: log}
	store, err := feeds.load(ctx)
	if err != nil {
		return err
	}
	places, problems := geo.Open(cfg.Geo)
	for _, err := range problems {
		log.Error("geo database not loaded: events that would ask it have the gap geo_unavailable", "error", err)
	}
	p := &parts{cfg: cfg, store: store, places: places, builder: joins.NewBuilder(cfg, store, places), meter: metrics.New(), log: log}
	stages, err := from(ctx, p)
	if err != nil {
		return err
	}
	feeds.loaded = p.meter.Feeds
	p.meter.Feeds(feeds.report)
	group, ctx := errgroup.WithContext(ctx)
	if places != nil {
		group.Go(func() error { return places.Run(ctx, log) })
	}
	group.Go(func() error { return gcpace.Run(ctx, heapRoom) })
	group.Go(func() error { return feeds.reload(ctx, store) })
	group.Go(func() error { return metrics.Serve(ctx, cfg.Metrics, p.meter, log) })
	for _, run := range stages {
		group.Go(func() error { return run(ctx) })
	}
	log.Info("enricher started", "version", version.String(), "group", cfg.Group, "inputs", cfg.Inputs.Results, "routed", cfg.Inputs.Routed(),
		"sessions", cfg.Members(), "delivery", cfg.Delivery, "to", cfg.Destination(), "feeds", len(cfg.Feeds))
	err = group.Wait()
	log.Info("enricher stopped")
	return err
}

// loadKafka reads a configuration for what only Kafka has.
func loadKafka(path string) (*enricherconf.Config, error) {
	cfg, err := enricherconf.Load(path)
	if err == nil && cfg.Kinesis != nil {
		return nil, fmt.Errorf("%s: has a kinesis section, and this command is for Kafka's topics: streams and their shards are made and changed with AWS's own tools", path)
	}
	return cfg, err
}

// job is what is done with rows.
func (p *parts) job() stream.Job {
	return stream.Job{Build: pipelines(p.builder), Observe: p.meter.Observe, Status: p.meter.Status, Log: p.log}
}

// fromKafka reads topics: rows, and what does not come keyed by its host.
func fromKafka(ctx context.Context, p *parts, kafka stream.KafkaConfig) ([]stage, error) {
	if err := stream.CheckKafka(ctx, kafka); err != nil {
		return nil, err
	}
	p.checkRetention(ctx, kafka)
	kafka.Monitor = p.meter
	p.builder.LookBack(p.store)
	facts := p.facts()
	stages := []stage{func(ctx context.Context) error { return stream.RunKafka(ctx, kafka, p.cfg.Members(), p.job()) }}
	if len(p.cfg.Inputs.Routed()) == 0 {
		return stages, nil
	}
	first := routing{
		cfg: p.cfg, kafka: routeConfig(p.cfg, kafka, p.log), builder: p.builder, factsRead: newFactsRead(facts, p.meter, p.log),
	}
	if err := stream.CheckKafka(ctx, first.kafka); err != nil {
		return nil, err
	}
	p.checkRetention(ctx, first.kafka)
	return []stage{first.follow, first.after(first.run), first.after(stages[0])}, nil
}

// checkRetention warns of inputs that forget before it is time to look back at them.
func (p *parts) checkRetention(ctx context.Context, kafka stream.KafkaConfig) {
	window := p.cfg.Retro.Window.Std()
	if window == 0 || len(p.cfg.Feeds) == 0 {
		return
	}
	for _, warning := range stream.CheckRetention(ctx, kafka, window) {
		p.log.Warn("retro", "warning", warning)
	}
}

// facts are those that stage 1 learns, and that rows are joined with where there is
// CloudTrail.
func (p *parts) facts() *route.Facts {
	facts := route.NewFacts(trailReputation{p.store})
	facts.Label(p.cfg.Labels.Known())
	if p.places != nil {
		facts.Locate(p.places)
	}
	if len(p.cfg.Inputs.CloudTrail) > 0 {
		known := p.cfg.Cloud()
		known.Facts, known.Uses, known.Apart = facts.Trail(), facts.Uses(), true
		p.builder.Trail(&joins.Trail{Cloud: known})
	}
	return facts
}

func kafkaConfig(cfg *enricherconf.Config, log *slog.Logger) (stream.KafkaConfig, error) {
	connection, err := cfg.Kafka.Options(log)
	if err != nil {
		return stream.KafkaConfig{}, fmt.Errorf("kafka: %w", err)
	}
	inputs, side := cfg.Inputs.Results, ""
	outputs := map[enrich.Stream]string{
		enrich.Enriched: cfg.Outputs.Enriched, enrich.DeadLetters: cfg.Outputs.DeadLetter, enrich.Findings: cfg.Outputs.Findings,
	}
	if len(cfg.Inputs.Routed()) > 0 {
		side = cfg.SideTopic()
		inputs = append(inputs[:len(inputs):len(inputs)], side)
		outputs[enrich.Sides] = side // to the partition of an instance's id
		outputs[enrich.Facts] = cfg.FactsTopic()
	}
	if len(cfg.Inputs.CloudTrail) > 0 {
		outputs[enrich.CloudTrail] = cfg.Outputs.CloudTrail
	}
	return stream.KafkaConfig{
		Connection:     connection,
		Group:          cfg.Group,
		Inputs:         inputs,
		Side:           side,
		Outputs:        outputs,
		StateTopic:     cfg.StateTopic(),
		StateDir:       cfg.State.Dir,
		StateFormat:    cfg.State.Format,
		ExactlyOnce:    cfg.Delivery == "exactly_once",
		MaxRecordBytes: int(cfg.Outputs.MaxRecordBytes),
		Log:            log,
	}, nil
}

// pipelines makes what each partition's rows are taken through.
func pipelines(builder *joins.Builder) func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error) {
	return func(p stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
		return builder.Build(p.Topic+"/"+strconv.Itoa(int(p.ID)), p.ID, state)
	}
}
