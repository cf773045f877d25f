package ledger_test

import (
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
)

func TestRowsThatComeLateAreTakenOffWithTheNextCall(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(record(runA, 1, 0, 6, ""), topic, time.Time{})
	b.take(first(runA, 2, 1), topic, time.Time{})
	for _, row := range []int{3, 2} {
		b.take(record(runA, 1, row, 6, ""), topic, time.Time{})
	}
	if f := b.one(t); f.Event.Revision != 0 || f.Loss.Rows != "1-5" {
		t.Errorf("finding %+v, told anew for each row", f)
	}
	b.reopen()
	b.take(first(runA, 3, 2), topic, time.Time{})
	if f := b.one(t); f.Event.Revision != 1 || f.Loss.Rows != "1,4-5" || f.Loss.RowCount != 3 {
		t.Errorf("finding %+v", f)
	}
}

// The run that is seen first need not be the first: with an earlier call at hand, what
// lay before the base is a loss.
func TestAnEarlierRunThatShowsUpLateMovesTheBase(t *testing.T) {
	b := newBook(t, ledger.Config{})
	b.take(first(runB, 9, 8), topic, time.Time{})
	b.none(t, "at the base")
	b.reopen()
	b.take(first(runA, 2, 1), topic, time.Time{})
	if l := b.one(t).Loss; l.Run != runB || l.To != 8 || l.Word != "lost" {
		t.Errorf("loss %+v", l)
	}
}

func TestRowsInWildOrderCostNeitherARowNorMemory(t *testing.T) {
	const rows = 4000
	b := newBook(t, ledger.Config{})
	for _, start := range []int{0, 1} {
		for row := start; row < rows; row += 2 {
			if !b.take(record(runA, 1, row, rows, ""), topic, time.Time{}) {
				t.Fatalf("row %d was dropped", row)
			}
		}
		b.reopen()
		if size := b.size(); size > 3<<10 {
			t.Errorf("%d bytes of state", size)
		}
	}
	b.take(first(runA, 2, 1), topic, time.Time{})
	b.none(t, "when all rows came")
}

// size is how many bytes the State holds.
func (b *book) size() (n int) {
	err := b.state.Hosts(func(h enrich.Host) error {
		return b.state.Scan(h, nil, func(key, value []byte) error { n += len(key) + len(value); return nil })
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
