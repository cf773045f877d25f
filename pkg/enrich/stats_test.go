package enrich_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// counted takes rows through what the enricher runs, appended a second after each was
// spooled, and returns the pipeline.
func counted(t *testing.T, maxPerHost int, rows ...happening) *enrich.Pipeline {
	t.Helper()
	cfg, err := enricherconf.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Joins.ProcessMaxPerHost = maxPerHost
	p, err := joins.NewBuilder(cfg, reputation.NewStore(nil), nil).Build("rows/0", 0, func(string) enrich.State { return state.NewMemory() })
	if err != nil {
		t.Fatal(err)
	}
	var out enrich.Out
	for i, r := range rows {
		spooled := time.Unix(int64(epoch+r.at+r.delay), 0)
		d := event.Delivery{Agent: r.host, Run: "00112233445566aa", Seq: uint64(i + 1), Rows: 1, Spooled: spooled}
		in := enrich.Input{Value: event.AppendDelivery([]byte(r.row()), &d), Position: enrich.Position{Topic: "rows", Offset: int64(i)}, Appended: spooled.Add(time.Second)}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestStatsTellWhatTheJoinsAnsweredAndWhatCameLate(t *testing.T) {
	p := counted(t, 1000,
		happening{host: "h", at: 0, pid: 10, path: "/bin/a", eid: 1},
		happening{host: "h", at: 1, pid: 10, eid: 2},                                      // a hit
		happening{host: "h", at: 2, pid: 11, eid: 3},                                      // a miss
		happening{host: "h", at: 2, delay: 5, pid: 11, path: "/bin/b", other: 10, eid: 0}, // that makes it late
		happening{host: "h", at: 3, pid: 12, eid: 4},                                      // a miss for good
		happening{host: "h", at: 600, pid: 13, path: "/bin/c", eid: 5},
		happening{host: "h", at: 4, delay: 600, pid: 12, path: "/bin/d", eid: 6}, // too late
	)
	s := p.TakeStats()
	want := map[enrich.Joined]int64{{Join: "process", Result: enrich.JoinHit}: 1, {Join: "process", Result: enrich.JoinMiss}: 2, {Join: "process", Result: enrich.JoinLate}: 1}
	if !maps.Equal(s.Joins, want) {
		t.Errorf("joins %v, want %v", s.Joins, want)
	}
	if !maps.Equal(s.Late, map[string]int64{"process_events": 1}) {
		t.Errorf("late %v", s.Late)
	}
	if again := p.TakeStats(); len(again.Joins)+len(again.Late) > 0 || again.Books["unnamed_rows"]+again.Evicted["process"] > 0 {
		t.Errorf("taken twice: %+v", again)
	}
}

func TestStatsTellWhatWasEvicted(t *testing.T) {
	var rows []happening
	for i := range 40 {
		rows = append(rows, happening{host: "h", at: i, pid: 100 + i, path: "/bin/a", eid: i})
	}
	sum := enrich.NewStats()
	p := counted(t, 16, rows...)
	sum.Add(p.TakeStats())
	sum.Add(p.TakeStats())
	if n := sum.Evicted["process"]; n < 24 || n > 40 {
		t.Errorf("%d evictions are counted of 40 processes where 16 have room", n)
	}
}

func TestStatusTellsFreshnessClocksWaitsAndTheBusiestHosts(t *testing.T) {
	var rows []happening
	for host := range 7 {
		for i := range host + 1 {
			rows = append(rows, happening{host: fmt.Sprint("h", host), at: i, pid: 10, eid: i}) // held: nothing tells its process
		}
	}
	p := counted(t, 1000, rows...)
	s := p.TakeStatus()
	if len(s.Busiest) != 5 || s.Busiest[0] != (enrich.HostRows{Host: "h6", Rows: 7}) || s.Busiest[4] != (enrich.HostRows{Host: "h2", Rows: 3}) {
		t.Errorf("busiest %v", s.Busiest)
	}
	if !s.Newest.Equal(time.Unix(epoch+6, 0)) || s.Behind != time.Second || s.Ahead != 0 || s.Held != 28 || s.Bytes == 0 {
		t.Errorf("status %+v", s)
	}
	if again := p.TakeStatus(); len(again.Busiest) != 0 || again.Behind != 0 || !again.Newest.Equal(s.Newest) || again.Held != 28 {
		t.Errorf("the next status %+v", again)
	}
}
