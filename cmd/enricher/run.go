package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
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
		Short: "Consume osquery rows from Kafka and write enriched rows, until SIGTERM",
		Long: `Joins the consumer group, takes the rows of its partitions through the joins and
writes one enriched row for each. Output, state and input offsets are committed in
one transaction (delivery: exactly_once). What does not come keyed by its host
(inputs.sensor, inputs.cloudtrail, inputs.rekey) is taken to its host's partition first. SIGTERM and Ctrl-C end it with nothing half
done. It refuses to start with a wrong configuration, without a broker or topic,
with a feed that cannot be loaded and has no last good copy in state.dir, or when
the group has read rows of which the state topic knows nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := enricherconf.Load(path)
			if err != nil {
				return err
			}
			return consume(cmd.Context(), cfg, acceptLoss, logging.New(cfg.Log, std.err))
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (docs/config.md)")
	cmd.Flags().BoolVar(&acceptLoss, "accept-state-loss", false, "go on with nothing known where the state topic is empty; not to be left on")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// consume runs the enricher until ctx ends.
func consume(ctx context.Context, cfg *enricherconf.Config, acceptLoss bool, log *slog.Logger) error {
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
	feeds := feedKeeper{feeds: cfg.FeedList(), loader: reputation.Loader{Dir: cfg.State.Dir, Keep: cfg.Retro.Window.Std(), Header: cfg.Header}, log: log}
	store, err := feeds.load(ctx)
	if err != nil {
		return err
	}
	if err := stream.CheckKafka(ctx, kafka); err != nil {
		return err
	}
	if window := cfg.Retro.Window.Std(); window > 0 && len(cfg.Feeds) > 0 {
		for _, warning := range stream.CheckRetention(ctx, kafka, window) {
			log.Warn("retro", "warning", warning)
		}
	}
	meter := metrics.New()
	kafka.Monitor = meter
	feeds.loaded = meter.Feeds
	meter.Feeds(feeds.report)
	places, problems := geo.Open(cfg.Geo)
	for _, err := range problems {
		log.Error("geo database not loaded: events that would ask it have the gap geo_unavailable", "error", err)
	}
	builder := joins.NewBuilder(cfg, store, places)
	builder.LookBack(store)
	facts := route.NewFacts(trailReputation{store})
	facts.Label(cfg.Labels.Known())
	if places != nil {
		facts.Locate(places)
	}
	if len(cfg.Inputs.CloudTrail) > 0 {
		known := cfg.Cloud()
		known.Facts = facts.Trail()
		builder.Trail(&joins.Trail{Cloud: known})
	}
	group, ctx := errgroup.WithContext(ctx)
	if places != nil {
		group.Go(func() error { return places.Run(ctx, log) })
	}
	group.Go(func() error { return feeds.reload(ctx, store) })
	group.Go(func() error { return metrics.Serve(ctx, cfg.Metrics, meter, log) })
	group.Go(func() error {
		return stream.RunKafka(ctx, kafka, cfg.Members(), stream.Job{Build: pipelines(builder), Observe: meter.Observe, Status: meter.Status, Log: log})
	})
	if len(cfg.Inputs.Routed()) > 0 {
		first := routing{cfg: cfg, kafka: routeConfig(cfg, kafka, log), builder: builder, facts: facts, meter: meter, log: log}
		if err := stream.CheckKafka(ctx, first.kafka); err != nil {
			return err
		}
		group.Go(func() error { return first.run(ctx) })
	}
	log.Info("enricher started", "version", version.String(), "group", cfg.Group, "inputs", cfg.Inputs.Results, "routed", cfg.Inputs.Routed(),
		"sessions", cfg.Members(), "delivery", cfg.Delivery, "feeds", len(cfg.Feeds))
	err = group.Wait()
	log.Info("enricher stopped")
	return err
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
