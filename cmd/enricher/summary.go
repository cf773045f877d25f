package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// print writes the summary: rows by kind, matches, gaps, unreadable lines, and
// what became of each feed's rows.
func (s *summary) print(broken bool) {
	state := "scanned"
	if broken {
		state = "stopped early in"
	}
	fmt.Fprintf(s.err, "%s %s: %d rows, %s in %s\n", state, counted(s.files, "file"), s.rows(), size(s.session.Read()), time.Since(s.started).Round(time.Millisecond))
	fmt.Fprintf(s.err, "  rows        %s\n", list(s.stats.Rows))
	fmt.Fprintf(s.err, "  matches     %d\n", s.stats.Matches)
	fmt.Fprintf(s.err, "  gaps        %s\n", list(s.stats.Gaps))
	fmt.Fprintf(s.err, "  findings    %d\n", s.raised)
	fmt.Fprintf(s.err, "  unreadable  %s\n", counted(int(s.stats.DeadLetters), "line"))
	tellFeeds(s.err, s.feeds)
}

// tellFeeds tells what became of each feed's rows.
func tellFeeds(w io.Writer, feeds reputation.Report) {
	for _, f := range feeds.Feeds {
		fmt.Fprintf(w, "  feed        %s: %d indicators, %d rows refused, %d private kept out (generation %s)\n", f.Name, f.Entries, f.Refused, f.Private, f.Generation)
		for _, warning := range f.Warnings() {
			fmt.Fprintf(w, "              %s\n", warning)
		}
	}
	if len(feeds.Feeds) == 0 {
		fmt.Fprintln(w, "  feed        none given: nothing was looked up (--feed)")
	}
}

// list writes counts by name, the largest first.
func list[K ~string](counts map[K]int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size writes a number of bytes for a person.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
