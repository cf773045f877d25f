package main

import (
	"fmt"
	"io"
	"slices"
)

// table prints one line a measure: what, the figures, the bar, and whether it is
// kept.
type table struct {
	out  io.Writer
	over int
	head bool
}

// note prints a measure that has no bar.
func (t *table) note(what, figures string) {
	t.line(what, figures, "", "")
}

// atMost judges a value that must not be larger than its bar.
func (t *table) atMost(what, figures string, value, bar float64) {
	t.judge(what, figures, fmt.Sprintf("<= %.4g", bar), value <= bar)
}

// atLeast judges a value that must not be smaller than its bar.
func (t *table) atLeast(what, figures string, value, bar float64) {
	t.judge(what, figures, fmt.Sprintf(">= %.4g", bar), value >= bar)
}

func (t *table) judge(what, figures, bar string, ok bool) {
	word := "ok"
	if !ok {
		word = "OVER"
		t.over++
	}
	t.line(what, figures, bar, word)
}

func (t *table) line(what, figures, bar, word string) {
	if !t.head {
		t.head = true
		t.line("measure", "figures", "bar", "")
	}
	fmt.Fprintf(t.out, "%-44s  %-66s  %-9s %s\n", what, figures, bar, word)
}

// verdict is an error when a bar was not kept.
func (t *table) verdict() error {
	if t.over == 0 {
		return nil
	}
	return fmt.Errorf("%d measures are over their bar", t.over)
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
