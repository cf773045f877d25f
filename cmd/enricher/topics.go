package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/topicplan"
)

// errChanges ends a plan that is not empty. The exit code tells it from a failure.
var errChanges = errors.New("there are changes")

const (
	// sideWindow is how far back what did not come with a host's rows is needed
	// at least: the time for which new indicators are looked up in old events.
	sideWindow = 24 * time.Hour
	// batchOverhead is what framing adds to the largest record.
	batchOverhead = 4096
	// topicsTimeout is for all questions to the brokers, and all changes.
	topicsTimeout = time.Minute
)

func topicsCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Compare the topics in Kafka with what the enricher needs, and create or change them",
		Long: `The enricher reads inputs.results and writes outputs.*, and keeps two topics of its
own: <group>.state, compacted, and <group>.side; with inputs.sensor, cloudtrail or rekey
also <group>.route and <group>.facts, compacted. Topics that are read together by
number have equal numbers of partitions; all have the broker's time.`,
	}
	cmd.AddCommand(topicsPlanCommand(std), topicsApplyCommand(std))
	return cmd
}

// topicFlags are what the commands on topics were asked for.
type topicFlags struct {
	config, principal string
	json              bool
}

func (f *topicFlags) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&f.config, "config", "", "configuration `FILE` (docs/config.md)")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON, one object, instead of lines")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func topicsPlanCommand(std streams) *cobra.Command {
	var f topicFlags
	cmd := f.add(&cobra.Command{
		Use:   "plan --config FILE",
		Short: "Show what apply would change, and change nothing",
		Long: `Writes a line for each difference: + is a topic to create, ~ a setting to change, !
a change that apply refuses, with the reason. Ends with 0 when there is none and
with 2 when there are some. With --acls it asks no broker, and writes the least
rights that enricher run needs as commands for Kafka's kafka-acls.sh.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.plan(cmd.Context(), std) },
	})
	cmd.Flags().StringVar(&f.principal, "acls", "", "write the rights that `PRINCIPAL`, such as User:enricher, needs")
	return cmd
}

func topicsApplyCommand(std streams) *cobra.Command {
	var f topicFlags
	return f.add(&cobra.Command{
		Use:   "apply --config FILE",
		Short: "Create and change topics until plan shows nothing",
		Long: `Makes the changes that plan shows, and waits until the brokers show them. A change
that could lose records is refused, and then nothing is changed: what shortens the
retention of a topic with records, changes its cleanup policy, or the number of
partitions that its keys belong to.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.apply(cmd.Context(), std) },
	})
}

// topicSettings is what the configuration says of topics.
func topicSettings(cfg *enricherconf.Config) topicplan.Settings {
	outputs := []string{cfg.Outputs.Enriched, cfg.Outputs.Findings, cfg.Outputs.DeadLetter}
	if len(cfg.Inputs.CloudTrail) > 0 {
		outputs = append(outputs, cfg.Outputs.CloudTrail)
	}
	return topicplan.Settings{
		Inputs:          cfg.Inputs.Results,
		Outputs:         outputs,
		State:           cfg.StateTopic(),
		Side:            cfg.SideTopic(),
		Group:           cfg.Group,
		Routed:          cfg.Inputs.Routed(),
		Route:           cfg.RouteGroup(),
		Facts:           cfg.FactsTopic(),
		Transactions:    cfg.Delivery == "exactly_once",
		Partitions:      int32(cfg.Topics.Partitions),
		Replicas:        int16(cfg.Topics.Replicas),
		Retention:       cfg.Topics.Retention.Std(),
		Window:          max(sideWindow, cfg.Joins.ProcessLive.Std()),
		MaxMessageBytes: int(cfg.Outputs.MaxRecordBytes) + batchOverhead,
	}
}

func (f *topicFlags) plan(ctx context.Context, std streams) error {
	cfg, err := loadKafka(f.config)
	if err != nil {
		return err
	}
	if f.principal != "" {
		return f.rights(cfg, std.out)
	}
	settings := topicSettings(cfg)
	var plan topicplan.Plan
	err = withKafka(ctx, cfg, std, func(ctx context.Context, client *kgo.Client) error {
		have, err := topicplan.Read(ctx, client, settings)
		plan = topicplan.Compare(settings, have)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.show(plan, std.out); err != nil || len(plan) == 0 {
		return err
	}
	return errChanges
}

func (f *topicFlags) apply(ctx context.Context, std streams) error {
	cfg, err := loadKafka(f.config)
	if err != nil {
		return err
	}
	settings := topicSettings(cfg)
	return withKafka(ctx, cfg, std, func(ctx context.Context, client *kgo.Client) error {
		have, err := topicplan.Read(ctx, client, settings)
		if err != nil {
			return err
		}
		plan := topicplan.Compare(settings, have)
		return errors.Join(f.show(plan, std.out), topicplan.Apply(ctx, client, settings, plan))
	})
}

// show writes the plan.
func (f *topicFlags) show(plan topicplan.Plan, out io.Writer) error {
	if f.json {
		return encode(out, map[string]any{"changes": append(topicplan.Plan{}, plan...)})
	}
	if len(plan) == 0 {
		fmt.Fprintln(out, "The topics are as they should be.")
	}
	for _, change := range plan {
		fmt.Fprintln(out, change)
	}
	return nil
}

// rights writes what f.principal needs.
func (f *topicFlags) rights(cfg *enricherconf.Config, out io.Writer) error {
	acls := topicplan.ACLs(topicSettings(cfg))
	if f.json {
		return encode(out, map[string]any{"principal": f.principal, "acls": acls})
	}
	for _, acl := range acls {
		fmt.Fprintln(out, "kafka-acls.sh", topicplan.Shell(acl.Command(strings.Join(cfg.Kafka.Brokers, ","), f.principal)))
	}
	return nil
}

func encode(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// withKafka calls f with a client that sees at once what was changed.
func withKafka(ctx context.Context, cfg *enricherconf.Config, std streams, f func(context.Context, *kgo.Client) error) error {
	options, err := cfg.Kafka.Options(logging.New(cfg.Log, std.err))
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	client, err := kgo.NewClient(slices.Concat(options, []kgo.Opt{
		kgo.RetryTimeout(topicsTimeout / 4),
		kgo.MetadataMinAge(100 * time.Millisecond), // what was created just now is asked for
	})...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: no broker of %v answers: %w", cfg.Kafka.Brokers, err)
	}
	return f(ctx, client)
}
