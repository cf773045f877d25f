package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
)

func validateCommand(std streams) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Check a configuration and the files it names, and exit",
		Long: `Reads the configuration, the certificates and secrets it names and every feed, and
tells everything that is wrong in one go: 0 if nothing is. It asks no broker.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := enricherconf.Load(path)
			if err != nil {
				return err
			}
			wrong := 0
			section, files := "kafka", cfg.Kafka.Check()
			if cfg.Kinesis != nil {
				section, files = "kinesis", cfg.Kinesis.AWS.Check()
			}
			for _, p := range files {
				fmt.Fprintf(std.err, "%s: %s.%s: %s\n", path, section, p.Key, p.Message)
				wrong++
			}
			_, report := readOnly(cfg).Load(cmd.Context(), cfg.FeedList(), nil)
			for _, f := range report.Feeds {
				if f.Err != nil {
					fmt.Fprintf(std.err, "%s: feed %s: %v\n", path, f.Name, f.Err)
					wrong++
					continue
				}
				fmt.Fprintf(std.out, "feed %s: %d indicators, %d rows refused, %d private kept out\n", f.Name, f.Entries, f.Refused, f.Private)
			}
			_, problems := geo.Open(cfg.Geo)
			for _, err := range problems {
				fmt.Fprintf(std.err, "%s: geo: %v\n", path, err)
				wrong++
			}
			if wrong > 0 {
				return errTold
			}
			fmt.Fprintf(std.out, "%s: ok\n", path)
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (docs/config.md)")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}
