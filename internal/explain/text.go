package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// reasons say in words what the vocabulary of gaps means.
func reasons() map[string]string {
	return map[string]string{
		"process_unknown":  "no process of that pid was seen to start before the event",
		"process_evicted":  "the process was forgotten: too many were remembered of this host",
		"process_mismatch": "the pid's process runs another program than the event says",
		"parent_unknown":   "an ancestor's start was not seen",
		"name_unknown":     "no name was seen to resolve to the address",
		"feed_unavailable": "a feed had never loaded",
		"matches_cut":      "more indicators were met than a record carries",
		"host_unknown":     "the row does not say which host it is from",
	}
}

// Write tells x to a person.
func (x *Explanation) Write(w io.Writer) {
	state := "questions are open"
	if x.Final {
		state = "final"
	}
	fmt.Fprintf(w, "event     %s, revision %d, %s\n", clean(x.ID), x.Revision, state)
	fmt.Fprintf(w, "what      %s of host %s at %s (time from %s)\n", clean(x.Dataset), clean(x.Host), x.Time.Format(time.RFC3339), clean(x.Source))
	for i := range x.Steps {
		x.Steps[i].write(w)
	}
	if p := x.Process; p != nil {
		fmt.Fprintf(w, "process   %s\n", p.line())
		for i := range p.Ancestors {
			fmt.Fprintf(w, "          %sstarted by %s\n", strings.Repeat("  ", i), p.Ancestors[i].line())
		}
	}
	for _, m := range x.Matches {
		fmt.Fprintf(w, "match     %s in %s: feed %s lists it at %s (%s, confidence %s, generation %.12s)\n",
			defang(clean(m.Indicator)), clean(m.Field), clean(m.Feed), clean(m.Provenance), clean(m.How), clean(m.Confidence), clean(m.Generation))
		switch {
		case m.Problem != "":
			fmt.Fprintf(w, "          the line cannot be shown: %s\n", clean(m.Problem))
		case m.Line != "":
			fmt.Fprintf(w, "          %s\n", defang(clean(cut(m.Line, maxShown))))
		}
	}
	for _, g := range x.Gaps {
		why := reasons()[g.Reason]
		if why == "" {
			why = "see docs/enriched.md"
		}
		fmt.Fprintf(w, "unknown   %s: %s (%s)\n", clean(g.Question), why, clean(g.Reason))
	}
}

func (p *Process) line() string {
	line := fmt.Sprintf("pid %d %s", p.PID, clean(p.Executable))
	if p.CommandLine != "" {
		line += ": " + defang(clean(p.CommandLine))
	}
	if !p.Start.IsZero() {
		line += ", since " + p.Start.Format(time.RFC3339)
	}
	if p.Inferred {
		line += ", inferred: it was not seen to start"
	}
	return line
}

func (s *Step) write(w io.Writer) {
	fmt.Fprintf(w, "%-9s %s%s\n", clean(s.For), clean(s.Place.String()), s.late())
	if s.ID != "" {
		fmt.Fprintf(w, "          tells of %s\n", clean(s.ID))
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "          cannot be shown: %s\n", clean(s.Problem))
		return
	}
	fmt.Fprintf(w, "          %s\n", s.columns())
}

func (s *Step) late() string {
	d := time.Duration(s.LatenessMS) * time.Millisecond
	switch {
	case d > 0:
		return ", readable " + d.Round(time.Millisecond).String() + " after it happened"
	case d < 0:
		return ", readable " + (-d).Round(time.Millisecond).String() + " before its host's clock says it happened"
	}
	return ""
}

// columns are the row's own columns, as they came, on one line.
func (s *Step) columns() string {
	var row struct{ Columns json.RawMessage }
	text := string(s.Row)
	if json.Unmarshal(s.Row, &row) == nil && row.Columns != nil {
		text = string(row.Columns)
	}
	return defang(clean(cut(text, maxShown)))
}

// maxShown is how much of a row is shown; --json shows all of it.
const maxShown = 600

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// clean shows what a terminal would act upon.
func clean(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
