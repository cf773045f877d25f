package reputation

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

const (
	examples    = 3  // rows left out that are shown for each reason
	exampleText = 80 // bytes of a row that are shown
	maxReasons  = 16 // reasons are a fixed set; this is a belt
)

// Refused is a row that was not taken.
type Refused struct {
	// File is the document it stands in. Line counts lines, or entries where
	// there are none, from 1. Text is the start of the row, quoted as in Go.
	File string
	Line int
	Text string
}

// Reason says why rows were not taken, how many, and which were the first.
type Reason struct {
	Reason   string
	Count    int
	Examples []Refused
}

// refusals collects rows that were not taken.
type refusals struct {
	count   int
	reasons []Reason
}

func (r *refusals) add(row feed.Row, reason string) {
	r.count++
	for i := range r.reasons {
		if known := &r.reasons[i]; known.Reason == reason {
			known.Count++
			if len(known.Examples) < examples {
				known.Examples = append(known.Examples, refusedRow(row))
			}
			return
		}
	}
	if len(r.reasons) < maxReasons {
		r.reasons = append(r.reasons, Reason{reason, 1, []Refused{refusedRow(row)}})
	}
}

// of is how many rows were left out for a reason.
func (r *refusals) of(reason string) int {
	for i := range r.reasons {
		if r.reasons[i].Reason == reason {
			return r.reasons[i].Count
		}
	}
	return 0
}

func refusedRow(row feed.Row) Refused {
	return Refused{row.Document, row.Line, strconv.QuoteToASCII(string(row.Text[:min(len(row.Text), exampleText)]))}
}

// in writes the reason and its first rows, each with its document, or file where
// it has none.
func (r Reason) in(file string) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Count) + " left out, " + r.Reason + ":")
	for _, e := range r.Examples {
		b.WriteString(" " + cmp.Or(e.File, file) + ":" + strconv.Itoa(e.Line) + " " + e.Text)
	}
	return b.String()
}
