package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

func feedsCommand(std streams) *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "feeds --config FILE",
		Short: "List the feeds: age, size, refused rows, generation, next refresh",
		Long: `Tells what is known of each feed from the copies that a running enricher keeps in
state.dir, and asks nobody. A feed of which there is no copy is read, where it is a
file; one behind an url was never loaded.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := enricherconf.Load(path)
			if err != nil {
				return err
			}
			list := reputation.Statuses(cmd.Context(), cfg.State.Dir, cfg.FeedList())
			if asJSON {
				return printJSON(std.out, list)
			}
			return printFeeds(std.out, list, time.Now())
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (docs/config.md)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one line of JSON for each feed")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func printJSON[T any](out io.Writer, list []T) error {
	w := json.NewEncoder(out)
	w.SetEscapeHTML(false)
	for _, item := range list {
		if err := w.Encode(item); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	return nil
}

func printFeeds(out io.Writer, list []reputation.Status, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FEED\tROLE\tINDICATORS\tREFUSED\tSKIPPED\tPRIVATE\tGENERATION\tAGE\tNEXT\tSTATE")
	for _, s := range list {
		state := "ok"
		switch {
		case s.Generation == "" && s.Failure == "":
			state = "never loaded"
		case s.Generation == "":
			state = "never loaded: " + printable(s.Failure)
		case s.Failure != "":
			state = "last good copy: " + printable(s.Failure)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", printable(s.Name), s.Role, s.Entries, s.Refused, s.Skipped, s.Private,
			orDash(s.Generation), ago(s.Checked, now), in(s.Next, now), state)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return now.Sub(at).Round(time.Second).String()
}

func in(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "on change"
	case !at.After(now):
		return "due"
	}
	return "in " + at.Sub(now).Round(time.Second).String()
}

// printable shows the control characters of what others wrote, so that a terminal
// does not obey them.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0x2028 || r == 0x2029 {
			return '\ufffd'
		}
		return r
	}, text)
}
