package origin_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

var positions = rapid.Custom(func(t *rapid.T) enrich.Position {
	n := rapid.Int64Range(1, 1<<40).Draw(t, "n")
	if rapid.Bool().Draw(t, "file") {
		return enrich.Position{File: rapid.SampledFrom([]string{"a.log", "b.log", "-"}).Draw(t, "name"), Line: n}
	}
	return enrich.Position{Topic: rapid.SampledFrom([]string{"rows", "more"}).Draw(t, "topic"), Partition: rapid.Int32Range(0, 3).Draw(t, "partition"), Offset: n}
})

// readable is an event that happened then and was read at a position, late.
func readable(at enrich.Position, late time.Duration) *enrich.Event {
	happened := time.Unix(1_760_000_000, 0)
	return &enrich.Event{Position: at, Time: happened, Appended: happened.Add(late)}
}

func TestAPlaceIsCitedAsItWasMetAfterTheTableWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table origin.Table
		met := rapid.SliceOfN(positions, 1, 20).Draw(t, "positions")
		var value []byte
		for _, at := range met {
			p, _ := table.Place(readable(at, time.Duration(at.Line-at.Offset)*time.Millisecond))
			value = origin.AppendPlace(value, p)
		}
		whole := table.Append(nil)
		read := origin.Read(compact.NewReader(whole))
		r := compact.NewReader(value)
		for _, at := range met {
			var e enrich.Event
			read.Cite(&e, "process", "x", origin.ReadPlace(r))
			if want := (enrich.Evidence{For: "process", ID: "x", Position: at, Lateness: time.Duration(at.Line-at.Offset) * time.Millisecond}); len(e.Evidence) != 1 || e.Evidence[0] != want {
				t.Fatalf("%+v cited, want %+v", e.Evidence, want)
			}
		}
		cut := compact.NewReader(whole[:rapid.IntRange(0, len(whole)-1).Draw(t, "cut")])
		if origin.Read(cut); cut.Err() == nil {
			t.Fatal("a table that is cut off is read")
		}
	})
}

func TestOneOfTwoRowsIsEarlierInWhateverOrderTheyAreMet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := positions.Draw(t, "a"), positions.Draw(t, "b")
		earlier := func(first, second enrich.Position) enrich.Position {
			var table origin.Table
			p, _ := table.Place(readable(first, 0))
			q, _ := table.Place(readable(second, 0))
			if table.Earlier(q, p) {
				return second
			}
			return first
		}
		if x, y := earlier(a, b), earlier(b, a); x != y {
			t.Fatalf("of %v and %v: %v, and the other way round %v", a, b, x, y)
		}
	})
}

func TestAFullTableKnowsNoMorePlacesAndSaysNothingWrong(t *testing.T) {
	var table origin.Table
	for i := range 3000 {
		at := enrich.Position{File: fmt.Sprint(i), Line: 1}
		p, fresh := table.Place(readable(at, 0))
		got, known := table.Position(p)
		if known != (i < 1024) || fresh != known || known && got != at {
			t.Fatalf("file %d: %v, known %v, fresh %v", i, got, known, fresh)
		}
	}
	if p, fresh := table.Place(readable(enrich.Position{}, 0)); fresh || p != (origin.Place{}) {
		t.Errorf("an event that was read nowhere has the place %+v", p)
	}
}

func FuzzRead(f *testing.F) {
	var table origin.Table
	p, _ := table.Place(readable(enrich.Position{Topic: "rows", Partition: 3, Offset: 7}, time.Second))
	f.Add(origin.AppendPlace(table.Append(nil), p))
	f.Fuzz(func(t *testing.T, value []byte) {
		r := compact.NewReader(value)
		table, p := origin.Read(r), origin.Place{}
		if r.Err() == nil {
			p = origin.ReadPlace(r)
		}
		again := compact.NewReader(origin.AppendPlace(table.Append(nil), p))
		same := origin.Read(again)
		if q := origin.ReadPlace(again); again.Err() != nil || q != p || fmt.Sprint(same) != fmt.Sprint(table) {
			t.Fatalf("%v %+v became %v %+v, %v", table, p, same, q, again.Err())
		}
		var e enrich.Event
		table.Cite(&e, "process", "x", p)
	})
}
