package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/reshard"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// reshardFlags are what the command was asked for.
type reshardFlags struct {
	config, from string
	apply, json  bool
}

func reshardCommand(std streams) *cobra.Command {
	var f reshardFlags
	cmd := &cobra.Command{
		Use:   "reshard --config FILE --from GROUP",
		Short: "Write the state of a group anew for another number of partitions",
		Long: `Copies what the group GROUP knows of its hosts to the group of the configuration,
whose inputs have another number of partitions. Each host's share goes to the
partition of its Kafka key; rows that wait for an answer go with it. What is kept for
a whole partition stays behind, and is counted. Nothing of the old group is changed.
Without --apply it reads and checks everything, and writes only what would move. It
refuses while one of the groups has members, while the old one has rows left to take,
and where the new state topic holds anything. docs/topics.md has the order of steps.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), std) },
	}
	cmd.Flags().StringVar(&f.config, "config", "", "configuration `FILE` of the new group (docs/config.md)")
	cmd.Flags().StringVar(&f.from, "from", "", "the old `GROUP`, whose state is in GROUP.state")
	cmd.Flags().BoolVar(&f.apply, "apply", false, "write the new state")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON, one object, instead of lines")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagRequired("from")
	return cmd
}

func (f *reshardFlags) run(ctx context.Context, std streams) error {
	cfg, err := loadKafka(f.config)
	if err != nil {
		return err
	}
	kafka, err := kafkaConfig(cfg, logging.New(cfg.Log, std.err))
	if err != nil {
		return err
	}
	if err := stream.CheckKafka(ctx, kafka); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.State.Dir, 0o700); cfg.State.Dir != "" && err != nil {
		return fmt.Errorf("copy of the state: %w", err)
	}
	dir, err := os.MkdirTemp(cfg.State.Dir, "reshard-")
	if err != nil {
		return fmt.Errorf("copy of the state: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	old := &enricherconf.Config{Group: f.from}
	report, err := reshard.Run(ctx, reshard.Config{
		Connection: kafka.Connection, From: f.from, To: cfg.Group,
		FromState: old.StateTopic(), FromSide: old.SideTopic(), ToState: kafka.StateTopic, Inputs: kafka.Inputs,
		// Feeds are asked when the new group starts, of what waits then.
		Build: pipelines(joins.NewBuilder(cfg, reputation.NewStore(nil), nil)), Dir: dir, Apply: f.apply,
	})
	if err != nil {
		return err
	}
	return f.show(report, std.out)
}

func (f *reshardFlags) show(report reshard.Report, out io.Writer) error {
	if f.json {
		return encode(out, map[string]any{"applied": f.apply, "report": report})
	}
	for id, share := range report.Partitions {
		fmt.Fprintf(out, "partition %d: %d hosts, %d keys, %d bytes\n", id, share.Hosts, share.Keys, share.Bytes)
	}
	fmt.Fprintf(out, "%d rows wait for answers and go along\n%d keys of whole partitions stay behind\n", report.Waiting, report.Left)
	if report.Keyless > 0 {
		fmt.Fprintf(out, "%d hosts stay behind: their rows came without a Kafka key, and could be anywhere\n", report.Keyless)
	}
	if !f.apply {
		fmt.Fprintln(out, "Nothing was written; --apply does.")
	}
	return nil
}
