package owner

import (
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
)

// maxGaps bounds the gaps of one address of one host. The oldest go first: the host then
// counts as one that may have had it.
const maxGaps = 8

// interval is when something was first and last seen, as it was told, and when it was
// given up between.
type interval struct {
	from, to time.Time
	ended    bool
	gaps     []Gap // in order, never changed in place
}

// with is the interval after something was seen at a time, or was said to be gone then.
// What was seen last says whether it is over.
func (v interval) with(at time.Time, gone bool) interval {
	switch {
	case at.Before(v.from):
		v.from = at
	case at.After(v.to):
		if v.ended && !gone && at.Sub(v.to) > 2*skew {
			v.gaps = append(slices.Clip(v.gaps), Gap{v.to, at})
			v.gaps = v.gaps[max(0, len(v.gaps)-maxGaps):]
		}
		v.to, v.ended = at, gone
	case at.Equal(v.to): // a result with the row removed and added only changed it
		v.ended = v.ended && gone
	case !gone:
		v.gaps = seenIn(v.gaps, at)
	}
	return v
}

// seenIn ends the gap that a time lies in: a row that came late tells that it was shorter.
func seenIn(gaps []Gap, at time.Time) []Gap {
	for i, g := range gaps {
		if at.After(g.From) && at.Before(g.To) {
			gaps = slices.Clone(gaps)
			gaps[i].To = at
			return gaps
		}
	}
	return gaps
}

// tells tells whether was, which was told, tells as much.
func (v interval) tells(was interval) bool {
	return v.ended == was.ended && v.from.Equal(was.from) && v.to.Sub(was.to) < tellEvery &&
		slices.EqualFunc(v.gaps, was.gaps, func(a, b Gap) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) })
}

func (v interval) encode() []byte {
	b := compact.Truth(compact.Time(compact.Time(compact.Number(nil, format), v.from), v.to), v.ended)
	if len(v.gaps) == 0 {
		return b // as versions before wrote it
	}
	b = compact.Number(b, uint64(len(v.gaps)))
	for _, g := range v.gaps {
		b = compact.Time(compact.Time(b, g.From), g.To)
	}
	return b
}

func read(value []byte) (interval, error) {
	r := compact.NewReader(value)
	r.Format(format)
	v := interval{from: r.Time(), to: r.Time(), ended: r.Truth()}
	if r.Rest() > 0 {
		for range min(r.Length(), maxGaps) {
			v.gaps = append(v.gaps, Gap{r.Time(), r.Time()})
		}
	}
	return v, r.Err()
}
