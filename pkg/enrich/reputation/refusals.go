package reputation

import (
	"strconv"
	"strings"
)

const (
	examples    = 3  // refused rows shown for each reason
	exampleText = 80 // bytes of a row that are shown
	maxReasons  = 16 // reasons are a fixed set; this is a belt
)

// Refused is a row that was not taken.
type Refused struct {
	// Line counts from 1. Text is the start of the row, quoted as in Go.
	Line int
	Text string
}

// Reason says why rows were refused, how many, and which were the first.
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

func (r *refusals) add(line int, text []byte, reason string) {
	r.count++
	for i := range r.reasons {
		if known := &r.reasons[i]; known.Reason == reason {
			known.Count++
			if len(known.Examples) < examples {
				known.Examples = append(known.Examples, refusedRow(line, text))
			}
			return
		}
	}
	if len(r.reasons) < maxReasons {
		r.reasons = append(r.reasons, Reason{reason, 1, []Refused{refusedRow(line, text)}})
	}
}

func refusedRow(line int, text []byte) Refused {
	return Refused{line, strconv.QuoteToASCII(string(text[:min(len(text), exampleText)]))}
}

// in writes the reason and its first rows, as lines of file.
func (r Reason) in(file string) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Count) + " refused, " + r.Reason + ":")
	for _, e := range r.Examples {
		b.WriteString(" " + file + ":" + strconv.Itoa(e.Line) + " " + e.Text)
	}
	return b.String()
}
