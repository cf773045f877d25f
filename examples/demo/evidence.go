package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// enriched is what the demo reads of an enriched row.
type enriched struct {
	Enrichment struct {
		Timestamp   time.Time `json:"@timestamp"`
		Host        struct{ Name string }
		Process     process
		Destination struct {
			IP   string
			Port int
		}
		Threat struct {
			Enrichments []struct {
				Indicator struct{ Name, Confidence, Description string }
				Matched   struct{ Field string }
				Feed      struct{ Name, Generation, Match, Provenance string }
			}
		}
	}
}

type process struct {
	PID         int
	Executable  string
	CommandLine string `json:"command_line"`
	User        struct{ ID string }
	Ancestors   []process
}

// showEvidence reads the enriched topic until every row is there, keeps it in a
// file, and prints what met an indicator.
func showEvidence(ctx context.Context, out io.Writer, dir, broker string, want int) (err error) {
	path := filepath.Join(dir, "enriched.ndjson")
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("enriched rows: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("osquery.enriched"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return fmt.Errorf("read enriched rows: %w", err)
	}
	defer client.Close()
	var hits []enriched
	for got := 0; got < want; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d rows were enriched in time (see %s): %w", got, want, dir, ctx.Err())
		}
		for _, r := range fetches.Records() {
			if !isHeartbeat(r) {
				got++
			}
			fmt.Fprintf(w, "%s\n", r.Value)
			var e enriched
			if err := json.Unmarshal(r.Value, &e); err != nil {
				return fmt.Errorf("enriched row: %w", err)
			}
			if len(e.Enrichment.Threat.Enrichments) > 0 {
				hits = append(hits, e)
			}
		}
	}
	fmt.Fprintf(out, "%d rows came out enriched, each once. %d of them met an indicator:\n\n", want, len(hits))
	for i := range hits {
		tell(out, &hits[i])
	}
	fmt.Fprintf(out, "Every enriched row is in %s; logs and spools are beside it.\n", path)
	return errors.Join(checkStory(hits), w.Flush())
}

func isHeartbeat(r *kgo.Record) bool {
	return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "kind" && string(h.Value) == "heartbeat" })
}

// tell prints one hit. What a host wrote is quoted, and addresses are defanged:
// an attacker chose them.
func tell(out io.Writer, e *enriched) {
	p := &e.Enrichment.Process
	fmt.Fprintf(out, "  %s  %s\n", e.Enrichment.Timestamp.Format(time.RFC3339), e.Enrichment.Host.Name)
	fmt.Fprintf(out, "    who       pid %d %q, uid %s: %q\n", p.PID, p.Executable, p.User.ID, defang(p.CommandLine))
	if e.Enrichment.Destination.IP != "" {
		fmt.Fprintf(out, "    to        %s port %d\n", defang(e.Enrichment.Destination.IP), e.Enrichment.Destination.Port)
	}
	for i, a := range p.Ancestors {
		fmt.Fprintf(out, "    %-9s %spid %d %q: %q\n", []string{"ancestry", ""}[min(i, 1)], strings.Repeat("  ", i), a.PID, a.Executable, a.CommandLine)
	}
	for _, t := range e.Enrichment.Threat.Enrichments {
		fmt.Fprintf(out, "    feed      %s says %s is bad (%s, confidence %s, %s, generation %.12s; %s)\n", t.Feed.Name, defang(t.Indicator.Name),
			t.Feed.Match, t.Indicator.Confidence, t.Matched.Field, t.Feed.Generation, t.Feed.Provenance)
	}
	fmt.Fprintln(out)
}

func defang(s string) string { return strings.ReplaceAll(s, badAddress, "198.51.100[.]23") }

// checkStory fails the demo when it does not show what it is for.
func checkStory(hits []enriched) error {
	for i := range hits {
		e := &hits[i].Enrichment
		if e.Destination.IP == badAddress && strings.HasPrefix(e.Process.CommandLine, "curl -sT") && len(e.Process.Ancestors) >= 4 {
			return nil
		}
	}
	return errors.New("the attack's connection did not come out with its process, four ancestors and the feed")
}
