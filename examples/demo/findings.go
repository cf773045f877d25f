package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// raised is what the demo reads of a finding.
type raised struct {
	Event struct {
		ID       string
		Revision int
	}
	Message string
	Rule    struct{ ID string }
	Finding struct {
		Status, Severity string
		Count            int
	}
	Process process
}

// showFindings reads the findings topic until the attack's connection is there as
// what it is, and prints the last word on each finding.
func showFindings(ctx context.Context, out io.Writer, dir, broker string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("osquery.findings"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return fmt.Errorf("read findings: %w", err)
	}
	defer client.Close()
	last := map[string]raised{}
	for done := false; !done; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("the attack's connection raised no finding in time (see %s): %w", dir, ctx.Err())
		}
		for _, r := range fetches.Records() {
			var f raised
			if err := json.Unmarshal(r.Value, &f); err != nil {
				return fmt.Errorf("finding: %w", err)
			}
			if known, ok := last[f.Event.ID]; !ok || f.Event.Revision >= known.Event.Revision {
				last[f.Event.ID] = f
			}
			done = done || f.Rule.ID == "match_address" && f.Finding.Severity == "high" && len(f.Process.Ancestors) >= 4
		}
	}
	fmt.Fprintf(out, "What a person is told of it (findings: %d):\n\n", len(last))
	for _, id := range slices.Sorted(maps.Keys(last)) {
		f := last[id]
		fmt.Fprintf(out, "  %s  %s, %s, seen %d times\n    %q\n", f.Finding.Severity, f.Rule.ID, f.Finding.Status, f.Finding.Count, defang(f.Message))
	}
	fmt.Fprintln(out)
	return nil
}
