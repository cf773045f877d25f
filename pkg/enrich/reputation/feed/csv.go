package feed

import (
	"bytes"
	"fmt"
	"strings"
)

// csv reads lines of cells whose columns are found by the names in the header,
// which may be a comment.
type csv struct {
	comma  byte
	quotes bool
	kind   Kind
	fields mapping
	// need are fields that the header must have.
	need []field
	// header are the names where the file has none; nil looks for them there.
	header []string

	at    [fieldCount]int // column by field, -1 for none
	count int             // of columns, 0 before the header
	// next is used again for each row: there may be millions.
	next Indicator
}

func (d *csv) Finish(Sink) error { return nil }

func (d *csv) Read(t *Text, to Sink) error {
	if err := t.list(); err != nil {
		return err
	}
	d.count = 0
	if d.header != nil {
		d.bind(d.header)
	}
	in := records{text: t, quotes: d.quotes}
	var split [][]byte
	for {
		row, tooLong, ok, err := in.next()
		if err != nil {
			return err
		}
		if !ok {
			return d.complete()
		}
		if row.Text = trimEnds(row.Text, d.comma); len(row.Text) == 0 {
			continue
		}
		if tooLong {
			to.Leave(row, TooLong, true)
		} else if split, err = d.record(split[:0], row, to); err != nil {
			return err
		}
	}
}

// trimEnds takes spaces off, but not empty cells that TABs part.
func trimEnds(line []byte, comma byte) []byte {
	if comma == '\t' {
		return bytes.Trim(line, " \r")
	}
	return bytes.TrimSpace(line)
}

// record takes one record; split is memory for its cells.
func (d *csv) record(split [][]byte, row Row, to Sink) ([][]byte, error) {
	comment := row.Text[0] == '#'
	ok := true
	line := bytes.TrimPrefix(row.Text, []byte("#fields\t"))
	if comment {
		line = bytes.TrimLeft(line, "# ")
	}
	if d.quotes {
		split, ok = splitCSV(split, line, d.comma)
	} else {
		split = splitPlain(split, line, d.comma)
	}
	switch {
	case d.count == 0 && d.isHeader(split):
	case comment:
		declared(row.Text, to)
	case d.count == 0:
		return split, d.complete()
	case !ok:
		to.Leave(row, Unclosed, true)
	case len(split) != d.count:
		to.Leave(row, Columns, true)
	default:
		d.add(split, row, to)
	}
	return split, nil
}

func (d *csv) add(split [][]byte, row Row, to Sink) {
	var c cells
	for f, at := range d.at {
		if at >= 0 {
			c[f] = split[at]
		}
	}
	var reason string
	var broken bool
	if d.next, reason, broken = c.indicator(d.kind); reason != "" {
		to.Leave(row, reason, broken)
		return
	}
	to.Add(row, &d.next)
}

// isHeader takes a record for the header if it names the columns that must be
// there.
func (d *csv) isHeader(split [][]byte) bool {
	names := make([]string, len(split))
	for i, cell := range split {
		names[i] = string(cell)
	}
	d.bind(names)
	for _, f := range d.need {
		if d.at[f] < 0 {
			d.count = 0
			return false
		}
	}
	return true
}

// bind finds the columns of the fields; case and spaces do not matter.
func (d *csv) bind(names []string) {
	d.count = len(names)
	for f := range d.at {
		d.at[f] = -1
		for _, theirs := range d.fields[f] {
			if at := indexFold(names, theirs); at >= 0 {
				d.at[f] = at
				break
			}
		}
	}
}

func indexFold(names []string, name string) int {
	for i, n := range names {
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return i
		}
	}
	return -1
}

func (d *csv) complete() error {
	if d.count > 0 {
		return nil
	}
	var names []string
	for _, f := range d.need {
		names = append(names, strings.Join(d.fields[f], " or "))
	}
	return fmt.Errorf("has no header line that names %s before its first row", strings.Join(names, ", "))
}
