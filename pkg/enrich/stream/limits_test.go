package stream

import (
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func TestLimitsHalveAfterATimeOutAndGrowBack(t *testing.T) {
	l := newLimits()
	l.timedOut()
	l.timedOut()
	if records, bytes, wait := l.now(); records != maxRecords/4 || bytes != maxBytes/4 || wait != linger/4 {
		t.Errorf("after two time-outs: %d records, %d bytes, %v", records, bytes, wait)
	}
	for range 100 {
		l.timedOut()
	}
	if records, _, _ := l.now(); records < 1 {
		t.Errorf("%d records: nothing would ever go", records)
	}
	for range smallest * growAfter {
		l.succeeded()
	}
	if records, bytes, wait := l.now(); records != maxRecords || bytes != maxBytes || wait != linger {
		t.Errorf("grown back: %d records, %d bytes, %v", records, bytes, wait)
	}
}

// What is fetched twice is taken once, what was handed out and not committed is
// handed out again, and the limits hold.
func TestASourceHandsOutEachRecordOnceACommit(t *testing.T) {
	src := &source{fetched: 5, committed: 5}
	for _, offset := range []int64{3, 5, 6, 8, 6, 8, 9} {
		src.take(enrich.Input{Value: make([]byte, 10), Position: enrich.Position{Offset: offset}})
	}
	offsets := func(n, size int) (got []int64) {
		records, _ := src.hand(n, size)
		for _, r := range records {
			got = append(got, r.Position.Offset)
		}
		return got
	}
	if got := offsets(2, 1000); len(got) != 2 || got[1] != 6 || src.next() != 7 {
		t.Fatalf("handed out %v, next %d", got, src.next())
	}
	src.handed = 0 // aborted
	if got := offsets(9, 25); len(got) != 3 || got[0] != 5 || got[2] != 8 {
		t.Fatalf("handed out %v", got)
	}
	src.settle()
	if got := offsets(9, 0); len(got) != 1 || got[0] != 9 || src.committed != 9 {
		t.Fatalf("after the commit: %v from %d", got, src.committed)
	}
}
