package enrich_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// After a loss of state, what was told before does not stay the highest revision, and
// what may be wrong says so, until what was lost no longer matters.
func TestAfterALossOfStateRecordsSaySo(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Minute, Keep: true})
	lost := enrich.Partial{Base: 1 << 20, Until: time.Unix(epoch+1000, 0).UTC()}
	w.check(enrich.MarkPartial(w.state, lost))
	got, err := enrich.ReadPartial(w.state)
	if err != nil || got != lost {
		t.Fatalf("%+v, %v", got, err)
	}
	tell := func(h happening, appended int) (told []string) {
		w.p.Partial(got)
		in := enrich.Input{
			Value: []byte(h.row()), Name: fmt.Sprintf("s/shard/%d", h.eid), Appended: time.Unix(epoch+int64(appended), 0),
			Position: enrich.Position{Topic: "s", Offset: int64(h.eid)},
		}
		w.check(w.p.Process(t.Context(), in, &w.out))
		for _, o := range w.out.Outputs {
			var r struct {
				Enrichment struct {
					Event struct{ Revision int }
					Gaps  json.RawMessage
				}
			}
			w.check(json.Unmarshal(o.Value, &r))
			told = append(told, fmt.Sprint(o.ID, " ", r.Enrichment.Event.Revision-lost.Base, " ", strings.Contains(string(r.Enrichment.Gaps), "state_partial")))
		}
		w.out.Reset()
		return told
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	check(tell(happening{host: "a", at: 9, pid: 7, path: "/bin/a", eid: 1}, 10), "s/shard/1 0 true")
	check(tell(happening{host: "a", at: 11, pid: 7, eid: 2}, 12), "s/shard/2 0 true")
	w.restart()
	check(tell(happening{host: "a", at: 10, pid: 7, path: "/bin/b", eid: 3}, 13), "s/shard/3 0 true", "s/shard/2 1 true")
	check(tell(happening{host: "a", at: 990, pid: 7, eid: 4}, 1001), "s/shard/4 0 false")

	if none, err := enrich.ReadPartial(state.NewMemory()); err != nil || none != (enrich.Partial{}) {
		t.Errorf("%+v, %v", none, err)
	}
}
