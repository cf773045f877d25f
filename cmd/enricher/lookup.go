package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// lookupFlags are what the lookup command was asked to do.
type lookupFlags struct {
	config string
	feeds  []string
	json   bool
}

func lookupCommand(std streams) *cobra.Command {
	var f lookupFlags
	cmd := &cobra.Command{
		Use:   "lookup [flags] VALUE…",
		Short: "Ask the feeds about values: who lists them, why they match, what clears them",
		Long: `Looks each value up as everything it may be (address, address:port, prefix, name,
URL, hash, fingerprint, path) in the feeds of --feed and of the configuration, and
tells what each list says, how the value met it, and which other list cleared or
lowered that. With state.dir the copies of a running enricher are used.`,
		Example: `  enricher lookup --feed feodo=ipblocklist.csv 172.233.221.61:5938
  enricher lookup --config enricher.yaml evil.example https://evil.example/a`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, values []string) error { return f.lookup(cmd, values, std) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: its feeds are asked")
	flags.StringArrayVar(&f.feeds, "feed", nil, "reputation feed, `[PRESET=]PATH` or URL; presets: docs/feeds.md; may be repeated")
	flags.BoolVar(&f.json, "json", false, "one line of JSON for each value")
	return cmd
}

func (f *lookupFlags) lookup(cmd *cobra.Command, values []string, std streams) error {
	cfg, err := enricherconf.Load(f.config)
	if err != nil {
		return err
	}
	for _, flag := range f.feeds {
		cfg.Feeds = append(cfg.Feeds, enricherconf.FeedOf(flag))
	}
	if len(cfg.Feeds) == 0 {
		return errors.New("there are no feeds to ask: give --feed or a --config that has some")
	}
	index, report := readOnly(cfg).Load(cmd.Context(), cfg.FeedList(), nil)
	if len(index.Missing()) == len(cfg.Feeds) {
		return report.Err()
	}
	for _, r := range report.Feeds {
		if r.Err != nil {
			fmt.Fprintf(std.err, "feed %s: %s\n", printable(r.Name), printable(r.Err.Error()))
		}
	}
	var told []lookedUp
	for _, v := range values {
		told = append(told, lookedUp{v, index.Explain(v, time.Now()), index.Missing()})
	}
	if f.json {
		list := make([]lookupJSON, len(told))
		for i := range told {
			list[i] = told[i].json()
		}
		return printJSON(std.out, list)
	}
	for _, t := range told {
		t.print(std.out, len(cfg.Feeds)-len(t.missing), index.Entries())
	}
	return nil
}

// lookedUp is a value and what the feeds say about it.
type lookedUp struct {
	value   string
	answers []reputation.Answer
	missing []string
}

func (l *lookedUp) print(w io.Writer, feeds, entries int) {
	fmt.Fprintln(w, printable(l.value))
	if len(l.answers) == 0 {
		fmt.Fprintln(w, "  is nothing that feeds list: no address, name of two labels, URL, hash, fingerprint or path")
	}
	for _, a := range l.answers {
		fmt.Fprintf(w, "  as %s %s: ", a.As, printable(a.Asked))
		if len(a.Matches) == 0 {
			fmt.Fprintf(w, "not listed (%s, %s)\n", counted(feeds, "feed"), counted(entries, "indicator"))
		} else {
			fmt.Fprintln(w, counted(len(a.Matches), "hit"))
		}
		for i := range a.Matches {
			printMatch(w, &a.Matches[i])
		}
		if a.Note != "" {
			fmt.Fprintf(w, "    note: %s\n", a.Note)
		}
	}
	if len(l.missing) > 0 {
		fmt.Fprintf(w, "  unknown: %s never loaded, so this is not the whole answer\n", printable(strings.Join(l.missing, ", ")))
	}
}

func printMatch(w io.Writer, t *enrich.Threat) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "      %-11s %s\n", label, printable(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(w, "    %s (%s) lists %s, met as %s\n", printable(t.Feed), t.Role, printable(t.Indicator), t.How)
	line("confidence", "%d", t.Confidence)
	for _, d := range matchDetails(t) {
		if d[1] != "" {
			line(d[0], "%s", d[1])
		}
	}
}

// matchDetails are what a list says beside the value, label and text.
func matchDetails(t *enrich.Threat) [][2]string {
	port, from := "", day(t.ValidFrom)
	if t.Port > 0 {
		port = fmt.Sprint(t.Port)
	}
	return [][2]string{
		{"cleared by", t.SuppressedBy}, {"lowered by", t.DowngradedBy}, {"labels", strings.Join(t.Labels, "; ")},
		{"threat", t.Name}, {"port", port}, {"tags", strings.Join(t.Tags, ", ")}, {"ATT&CK", strings.Join(t.Techniques, ", ")}, {"TLP", t.TLP},
		{"first seen", day(t.FirstSeen)}, {"last seen", day(t.LastSeen)}, {"here since", day(t.FirstSeenHere)}, {"valid from", from}, {"valid until", day(t.ValidUntil)},
		{"id", t.ID}, {"event", t.Event}, {"reference", t.Reference}, {"listed at", t.Provenance}, {"generation", t.Generation},
	}
}

func day(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// lookupJSON is a value's line of JSON.
type lookupJSON struct {
	Value   string       `json:"value"`
	Listed  bool         `json:"listed"` // by a list that blocks, and not cleared
	Answers []answerJSON `json:"answers"`
	Missing []string     `json:"missing,omitempty"`
}

type answerJSON struct {
	As      string      `json:"as"`
	Asked   string      `json:"asked"`
	Matches []matchJSON `json:"matches"`
	Note    string      `json:"note,omitempty"`
}

type matchJSON struct {
	Feed          string    `json:"feed"`
	Role          string    `json:"role"`
	Indicator     string    `json:"indicator"`
	Type          string    `json:"type"`
	Match         string    `json:"match"`
	Confidence    int       `json:"confidence"`
	SuppressedBy  string    `json:"suppressed_by,omitempty"`
	DowngradedBy  string    `json:"downgraded_by,omitempty"`
	Labels        []string  `json:"labels,omitempty"`
	Name          string    `json:"name,omitempty"`
	Port          uint16    `json:"port,omitempty"`
	Tags          []string  `json:"tags,omitempty"`
	Techniques    []string  `json:"techniques,omitempty"`
	TLP           string    `json:"tlp,omitempty"`
	Reports       uint32    `json:"reports,omitempty"`
	FirstSeen     time.Time `json:"first_seen,omitzero"`
	LastSeen      time.Time `json:"last_seen,omitzero"`
	FirstSeenHere time.Time `json:"first_seen_here,omitzero"`
	ValidFrom     time.Time `json:"valid_from,omitzero"`
	ValidUntil    time.Time `json:"valid_until,omitzero"`
	ID            string    `json:"id,omitempty"`
	Event         string    `json:"event,omitempty"`
	Reference     string    `json:"reference,omitempty"`
	Provenance    string    `json:"provenance"`
	Generation    string    `json:"generation"`
}

func (l *lookedUp) json() lookupJSON {
	out := lookupJSON{Value: l.value, Answers: []answerJSON{}, Missing: l.missing}
	for _, a := range l.answers {
		answer := answerJSON{As: a.As, Asked: a.Asked, Matches: []matchJSON{}, Note: a.Note}
		for _, t := range a.Matches {
			out.Listed = out.Listed || t.Role == "block" && t.SuppressedBy == ""
			answer.Matches = append(answer.Matches, matchJSON{
				t.Feed, t.Role, t.Indicator, t.Type, t.How, t.Confidence, t.SuppressedBy, t.DowngradedBy, t.Labels, t.Name, t.Port, t.Tags,
				t.Techniques, t.TLP, t.Reports, t.FirstSeen, t.LastSeen, t.FirstSeenHere, t.ValidFrom, t.ValidUntil, t.ID, t.Event, t.Reference, t.Provenance, t.Generation,
			})
		}
		out.Answers = append(out.Answers, answer)
	}
	return out
}
