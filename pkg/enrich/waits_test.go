package enrich_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/flow"
	joins "github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const epoch = 1_760_000_000

// happening is one row of a host, that arrives when its host's clock is at most
// delay after it happened.
type happening struct {
	host                  string
	at, delay, pid, other int
	path                  string // of an exec; empty is a connect
	eid                   int
	port                  int  // of a connect, 0 where its row has none
	sensor                bool // what a sensor saw of the host
}

// side is the record of a sensor as stage 1 sends it to the host.
func (h happening) side() *enrich.Side {
	record := fmt.Sprintf(`{"_path":"conn","ts":%d,"uid":"C","id.orig_h":"10.0.0.5","id.orig_p":5,"id.resp_h":"203.0.113.9","id.resp_p":443,"proto":"tcp","conn_state":"SF","columns":{"eid":"%d"}}`,
		epoch+h.at, h.eid)
	return &enrich.Side{
		Host: enrich.Host(h.host), Kind: enrich.SideSensor, Value: []byte(record), Source: fmt.Sprint("sensor/", h.eid), Shared: h.other%2 == 1,
		Position: enrich.Position{Topic: "sensor", Offset: int64(h.eid)},
	}
}

func (h happening) row() string {
	head := fmt.Sprintf(`{"name":"%%s","hostIdentifier":%q,"unixTime":%d,"columns":{"eid":"%d","pid":"%d","time":"%d",`, h.host, epoch+h.at, h.eid, h.pid, epoch+h.at)
	if h.path == "" {
		return fmt.Sprintf(head+`"action":"connect","local_port":"%d","remote_address":"203.0.113.9","remote_port":"443","path":""},"action":"added"}`, "socket_events", h.port)
	}
	return fmt.Sprintf(head+`"parent":"%d","path":%q,"cmdline":"x","auid":"0","syscall":"execve"},"action":"added"}`, "process_events", h.other, h.path)
}

// told is what the tests read of an output.
type told struct {
	Columns    struct{ EID string }
	Enrichment struct {
		Timestamp string `json:"@timestamp"`
		Event     struct {
			ID       string
			Revision int
			Final    bool
		}
		Process json.RawMessage
		Gaps    json.RawMessage
		Link    struct { // but for the sockets' events, whose names are places here
			Status  string
			Sockets []struct{ PID, Opened, Executable any }
		}
	}
}

// world is a pipeline over rows that were appended to one topic, and what a reader
// of its output holds: the highest revision of each event.
type world struct {
	t       interface{ Fatal(...any) }
	cfg     enrich.Waiting
	state   *state.Memory
	known   *state.Memory // the processes'
	sockets *state.Memory
	p       *enrich.Pipeline
	out     enrich.Out
	inputs  map[string][]enrich.Input // by topic
	highest map[string]told
	written int
}

func newWorld(t interface{ Fatal(...any) }, cfg enrich.Waiting) *world {
	w := &world{t: t, cfg: cfg, state: state.NewMemory(), known: state.NewMemory(), sockets: state.NewMemory(), inputs: map[string][]enrich.Input{}, highest: map[string]told{}}
	w.build()
	return w
}

func (w *world) build() {
	w.p = enrich.NewPipeline(event.NewLenses(), []enrich.Operator{flow.New(flow.Config{}, w.sockets), joins.New(joins.Config{}, w.known)}, nil)
	w.p.Wait(w.cfg, w.state)
}

func (w *world) check(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) take(row string) { w.input(enrich.Input{Value: []byte(row)}, "rows") }

// happens takes what happened, by the topic that it comes by.
func (w *world) happens(h happening) {
	if !h.sensor {
		w.take(h.row())
		return
	}
	b, err := h.side().Append(nil)
	w.check(err)
	w.input(enrich.Input{Value: b, Side: true}, "side")
}

func (w *world) input(in enrich.Input, topic string) {
	in.Position = enrich.Position{Topic: topic, Offset: int64(len(w.inputs[topic]))}
	if w.cfg.Keep && !in.Side { // as from Kinesis
		in.Name = fmt.Sprintf("rows/shard/49%d", len(w.inputs[topic]))
	}
	w.inputs[topic] = append(w.inputs[topic], in)
	w.check(w.p.Process(context.Background(), in, &w.out))
	w.read()
}

// restart commits, and goes on with a pipeline that is built from the state.
func (w *world) restart() {
	w.check(w.p.Seal())
	w.build()
	w.check(w.p.Resume(context.Background(), func(_ context.Context, topic string, from int64, visit func(enrich.Input) error) error {
		if w.cfg.Keep {
			w.t.Fatal("read again from", from)
		}
		for _, in := range w.inputs[topic][from:] {
			if err := visit(in); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (w *world) finish() {
	w.check(w.p.Finish(context.Background(), &w.out))
	w.read()
}

// read takes the output in. A revision must be the next one of its event.
func (w *world) read() {
	for _, o := range w.out.Outputs {
		var r told
		w.check(json.Unmarshal(o.Value, &r))
		before, seen := w.highest[o.ID]
		if want := before.Enrichment.Event.Revision + 1; seen && r.Enrichment.Event.Revision != want || !seen && r.Enrichment.Event.Revision != 0 {
			w.t.Fatal(fmt.Sprintf("%s: revision %d after %d (seen %v)", o.ID, r.Enrichment.Event.Revision, before.Enrichment.Event.Revision, seen))
		}
		w.highest[o.ID] = r
		w.written++
	}
	w.out.Reset()
}

// records are the final records by eid, without what may differ between runs.
func (w *world) records() map[string]string {
	all := map[string]string{}
	for _, r := range w.highest {
		all[r.Columns.EID] = r.Enrichment.Timestamp + string(r.Enrichment.Process) + fmt.Sprint(r.Enrichment.Link) + string(r.Enrichment.Gaps)
	}
	return all
}

// Promise 6: the same final record per id, however hosts interleave and rows are
// displaced within their window, wherever the pipeline was restarted.
func TestArrivalOrderDoesNotChangeTheFinalRecord(t *testing.T) {
	const wait = 20
	cfg := enrich.Waiting{Wait: wait * time.Second}
	rapid.Check(t, func(t *rapid.T) {
		var all []happening
		for i := range rapid.IntRange(1, 40).Draw(t, "rows") {
			h := happening{
				host: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), at: rapid.IntRange(0, 60).Draw(t, "at"),
				delay: rapid.IntRange(0, wait).Draw(t, "delay"), pid: rapid.IntRange(1, 5).Draw(t, "pid"), eid: i + 1,
			}
			if rapid.Bool().Draw(t, "exec") {
				h.path, h.other = rapid.SampledFrom([]string{"/bin/a", "/bin/b"}).Draw(t, "path"), rapid.IntRange(0, 5).Draw(t, "parent")
			}
			if h.path == "" {
				h.sensor, h.port, h.other = rapid.Bool().Draw(t, "sensor"), rapid.SampledFrom([]int{0, 0, 5, 6}).Draw(t, "port"), rapid.IntRange(0, 1).Draw(t, "shared")
			}
			all = append(all, h)
		}
		slices.SortStableFunc(all, func(a, b happening) int { return a.at - b.at })
		inOrder := newWorld(t, cfg)
		for _, h := range all {
			inOrder.happens(h)
		}
		inOrder.finish()

		slices.SortStableFunc(all, func(a, b happening) int { return a.at + a.delay - b.at - b.delay })
		displaced := newWorld(t, enrich.Waiting{Wait: cfg.Wait, Immediate: rapid.Bool().Draw(t, "immediate"), Keep: rapid.Bool().Draw(t, "keep")})
		for _, h := range all {
			displaced.happens(h)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				displaced.restart()
			}
		}
		displaced.finish()
		if want, got := inOrder.records(), displaced.records(); !maps.Equal(want, got) {
			for id := range want {
				if want[id] != got[id] {
					t.Logf("eid %s:\n in order  %s\n displaced %s", id, want[id], got[id])
				}
			}
			t.Fatal("other final records")
		}
	})
}

func TestAnEventIsHeldForItsProcess(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Minute})
	w.take(happening{host: "a", at: 10, pid: 7, eid: 1}.row())
	if w.written != 0 {
		t.Fatalf("told before its process was known: %v", w.highest)
	}
	w.take(happening{host: "a", at: 9, pid: 7, path: "/bin/a", eid: 2}.row())
	if got := w.highest["rows/0/0"]; w.written != 2 || !contains(got.Enrichment.Process, "/bin/a") {
		t.Fatalf("%d written, the event is %s", w.written, got.Enrichment.Process)
	}
}

func TestAnEventGoesWithItsGapWhenTheWindowHasPassed(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Minute})
	w.take(happening{host: "a", at: 10, pid: 7, eid: 1}.row())
	w.take(happening{host: "b", at: 500, pid: 7, path: "/bin/b", eid: 2}.row()) // moves nobody else
	w.take(happening{host: "a", at: 70, pid: 8, path: "/bin/a", eid: 3}.row())
	if _, told := w.highest["rows/0/0"]; told {
		t.Fatal("told while its window was open")
	}
	w.take(happening{host: "a", at: 71, pid: 8, path: "/bin/a", eid: 4}.row())
	if got := w.highest["rows/0/0"]; !contains(got.Enrichment.Gaps, enrich.ProcessUnknown) || got.Enrichment.Event.Final {
		t.Fatalf("gaps %s", got.Enrichment.Gaps)
	}
	w.take(happening{host: "a", at: 9, pid: 7, path: "/bin/late", eid: 5}.row())
	if got := w.highest["rows/0/0"]; got.Enrichment.Event.Revision != 0 {
		t.Fatalf("told again after its window: %s", got.Enrichment.Process)
	}
}

func TestImmediateTellsAtOnceAndAgain(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Minute, Immediate: true})
	w.take(happening{host: "a", at: 10, pid: 7, eid: 1}.row())
	if got := w.highest["rows/0/0"]; !contains(got.Enrichment.Gaps, enrich.ProcessUnknown) {
		t.Fatalf("gaps %s", got.Enrichment.Gaps)
	}
	w.take(happening{host: "a", at: 9, pid: 7, path: "/bin/a", eid: 2}.row())
	if got := w.highest["rows/0/0"]; got.Enrichment.Event.Revision != 1 || !contains(got.Enrichment.Process, "/bin/a") {
		t.Fatalf("revision %d, process %s", got.Enrichment.Event.Revision, got.Enrichment.Process)
	}
}

// A process that started later, of the pid that the event named, is none of its
// business; one that started before takes the place of an older one.
func TestABetterProcessRevisesWhatWasTold(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Minute})
	w.take(happening{host: "a", at: 1, pid: 7, path: "/bin/old", eid: 1}.row())
	w.take(happening{host: "a", at: 10, pid: 7, eid: 2}.row())
	w.take(happening{host: "a", at: 12, pid: 7, path: "/bin/next", eid: 3}.row())
	if got := w.highest["rows/0/1"]; got.Enrichment.Event.Revision != 0 {
		t.Fatalf("revised by a process that started later: %s", got.Enrichment.Process)
	}
	w.take(happening{host: "a", at: 8, pid: 7, path: "/bin/new", eid: 4}.row())
	if got := w.highest["rows/0/1"]; got.Enrichment.Event.Revision != 1 || !contains(got.Enrichment.Process, "/bin/new") {
		t.Fatalf("revision %d, process %s", got.Enrichment.Event.Revision, got.Enrichment.Process)
	}
}

func TestTooMuchWaitingIsGivenUpAndCounted(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Hour, MaxBytes: 10_000})
	for i := range 100 {
		w.take(happening{host: "a", at: i, pid: 7, eid: i + 1}.row())
	}
	stats := w.p.TakeStats()
	if held := w.p.Waits(); held.Bytes > 10_000 || int64(w.written) != stats.WaitCut || w.written+held.Held != 100 {
		t.Fatalf("%d told, %d counted, waiting %+v", w.written, stats.WaitCut, held)
	}
}

// A silent host's rows leave the floor, and are there again after a restart.
func TestASilentHostDoesNotHoldTheFloor(t *testing.T) {
	w := newWorld(t, enrich.Waiting{Wait: time.Millisecond})
	w.take(happening{host: "silent", at: 10, pid: 7, eid: 1}.row())
	time.Sleep(10 * time.Millisecond) // by our own clock the host is silent for longer than it may
	w.check(w.p.OnIdle(context.Background(), &w.out))
	w.read()
	if w.written != 1 {
		t.Fatal("what a silent host sent was not told")
	}
	w.restart()
	w.take(happening{host: "b", at: 10, pid: 1, path: "/bin/b", eid: 2}.row())
	w.restart()
	var floor []byte
	w.check(w.state.Scan("", []byte("f"), func(_, v []byte) error { floor = append(floor, v...); return nil }))
	if len(floor) != 1 || floor[0] == 0 {
		t.Fatalf("the floor is still at the silent host's row: %v", floor)
	}
	w.inputs["rows"][0].Value = nil // retention took it
	w.take(happening{host: "silent", at: 10, pid: 7, path: "/bin/late", eid: 3}.row())
	if got := w.highest["rows/0/0"]; got.Enrichment.Event.Revision != 1 || !contains(got.Enrichment.Process, "/bin/late") {
		t.Fatalf("revision %d, process %s", got.Enrichment.Event.Revision, got.Enrichment.Process)
	}
}

func contains(json []byte, text string) bool { return bytes.Contains(json, []byte(text)) }
