package ledger

import (
	"slices"
	"strconv"
	"time"
)

// call is a call of which rows are still missing.
type call struct {
	seq, rows uint64
	have      ranges
	spooled   time.Time
	// since is the host's clock when its last row came.
	since time.Time
	// told is how many missing rows the finding speaks of, 0 without one.
	told     uint64
	revision int64
	// lossy tells that its rows came in too wild an order to be remembered: no row
	// is then known to be missing.
	lossy bool
}

// maxGaps bounds the ranges of rows that are remembered of one call.
const maxGaps = 256

// add enters a row and tells whether it came before.
func (c *call) add(row uint64) (twice bool) {
	if c.lossy && !c.have.touches(row) {
		return false
	}
	twice = !c.have.add(row)
	c.lossy = c.lossy || len(c.have) >= maxGaps
	return twice
}

func (c *call) complete() bool { return len(c.have) == 1 && c.have[0] == row{0, c.rows - 1} }

func (c *call) missing() uint64 { return c.rows - c.have.count() }

// missingRows writes the missing rows as "3-7,9".
func (c *call) missingRows() string {
	const most = 512
	var b []byte
	next := uint64(0)
	put := func(from, to uint64) {
		if from > to || len(b) > most {
			return
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		if b = strconv.AppendUint(b, from, 10); to > from {
			b = strconv.AppendUint(append(b, '-'), to, 10)
		}
		if len(b) > most {
			b = append(b, ",…"...)
		}
	}
	for _, r := range c.have {
		if r.from > next {
			put(next, r.from-1)
		}
		next = r.to + 1
	}
	if next < c.rows {
		put(next, c.rows-1)
	}
	return string(b)
}

// row is a range of rows, both ends in it.
type row struct{ from, to uint64 }

// ranges are rows, in order, with something missing between any two.
type ranges []row

// add enters n and tells whether it is new.
func (r *ranges) add(n uint64) bool {
	all := *r
	if last := len(all) - 1; last >= 0 && all[last].to+1 == n { // the ordinary case
		all[last].to = n
		return true
	}
	i, _ := slices.BinarySearchFunc(all, n, func(e row, n uint64) int {
		if e.to < n {
			return -1
		}
		return 1
	})
	if i < len(all) && all[i].from <= n {
		return false
	}
	below, above := i > 0 && all[i-1].to+1 == n, i < len(all) && all[i].from == n+1
	switch {
	case below && above:
		all[i-1].to = all[i].to
		all = slices.Delete(all, i, i+1)
	case below:
		all[i-1].to = n
	case above:
		all[i].from = n
	default:
		all = slices.Insert(all, i, row{n, n})
	}
	*r = all
	return true
}

// touches tells whether n can be entered without a range of its own.
func (r ranges) touches(n uint64) bool {
	return slices.ContainsFunc(r, func(e row) bool { return n+1 >= e.from && n <= e.to+1 })
}

func (r ranges) count() (n uint64) {
	for _, e := range r {
		n += e.to - e.from + 1
	}
	return n
}
