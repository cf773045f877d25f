//go:build chaos || e2e

package chaos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ledger is what osqueryd logged: how many rows each call had, and whether it was
// answered OK.
type ledger struct {
	rows     []int
	answered []bool
}

func (l *ledger) note(rows int, err error) {
	l.rows = append(l.rows, rows)
	l.answered = append(l.answered, err == nil)
}

// promised is the number of rows in calls that were answered OK.
func (l *ledger) promised() (n int) {
	for i, ok := range l.answered {
		if ok {
			n += l.rows[i]
		}
	}
	return n
}

// await waits until the topic has every row that was answered OK, and returns what
// is on it.
func (l *ledger) await(t *testing.T, addr string) []*kgo.Record {
	t.Helper()
	return l.awaitIn(t, patience, func() []*kgo.Record { return topic(t, addr) })
}

// awaitIn is await for what read finds, no longer than that.
func (l *ledger) awaitIn(t *testing.T, most time.Duration, read func() []*kgo.Record) []*kgo.Record {
	t.Helper()
	for deadline := time.Now().Add(most); ; {
		records := read()
		missing := l.missing(t, records)
		if len(missing) == 0 {
			return records
		}
		if time.Now().After(deadline) {
			t.Fatalf("lost: of %d calls these, answered OK, are not whole on the topic: %v", len(l.rows), missing)
		}
		pause(t.Context(), 20*time.Millisecond)
	}
}

func (l *ledger) missing(t *testing.T, records []*kgo.Record) (calls []int) {
	t.Helper()
	found := map[spot]bool{}
	for _, r := range records {
		if isRow(r) {
			found[spotOf(t, r)] = true
		}
	}
	for call, rows := range l.rows {
		for n := range rows {
			if l.answered[call] && !found[spot{call, n}] {
				calls = append(calls, call)
				break
			}
		}
	}
	return calls
}

// isRow tells osqueryd's rows from markers and heartbeats.
func isRow(r *kgo.Record) bool { return header(r, "kind") == "result" }

// spot is where in the ledger a row stands.
type spot struct{ call, n int }

func (s spot) compare(o spot) int { return cmp.Or(cmp.Compare(s.call, o.call), cmp.Compare(s.n, o.n)) }

func spotOf(t *testing.T, r *kgo.Record) spot {
	t.Helper()
	var v struct{ Columns struct{ Call, N string } }
	must(t, json.Unmarshal(r.Value, &v))
	call, err := strconv.Atoi(v.Columns.Call)
	must(t, err)
	n, err := strconv.Atoi(v.Columns.N)
	must(t, err)
	return spot{call, n}
}

// checkNames wants every repeated name to bear the same bytes, every row one name,
// and first occurrences in the order in which osqueryd logged. It returns the
// number of repeats.
func checkNames(t *testing.T, records []*kgo.Record) (repeats int) {
	t.Helper()
	first := map[string]*kgo.Record{}
	last := spot{-1, 0}
	for _, r := range records {
		earlier, again := first[name(r)]
		if again {
			repeats++
			if difference := differ(earlier, r); difference != "" {
				t.Fatalf("%s names two different records:\n%s", name(r), difference)
			}
			continue
		}
		first[name(r)] = r
		if !isRow(r) {
			continue
		}
		at := spotOf(t, r)
		if at.compare(last) <= 0 {
			t.Fatalf("row %v came after %v, under the name %s", at, last, name(r))
		}
		last = at
	}
	return repeats
}

// differ tells how two records of one name differ, empty when they do not.
func differ(a, b *kgo.Record) string {
	same := bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Key, b.Key) && a.Timestamp.Equal(b.Timestamp) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y kgo.RecordHeader) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
	if same {
		return ""
	}
	return fmt.Sprintf("%s %v %s %v\n%s %v %s %v", a.Key, a.Timestamp, a.Value, a.Headers, b.Key, b.Timestamp, b.Value, b.Headers)
}
