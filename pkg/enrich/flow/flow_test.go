package flow_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/flow"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const t0 = 1_760_000_000

// world is an operator over a state, and how many rows it took.
type world struct {
	*testing.T
	state *state.Memory
	op    *flow.Operator
	rows  int
}

func newWorld(t *testing.T, cfg flow.Config) *world {
	w := &world{T: t, state: state.NewMemory()}
	w.op = flow.New(cfg, w.state)
	return w
}

func (w *world) event(parse func(*enrich.Event) error, at time.Time) *enrich.Event {
	w.Helper()
	w.rows++
	e := &enrich.Event{Host: "h", ID: fmt.Sprint("row", w.rows), Time: at, Position: enrich.Position{Topic: "rows", Offset: int64(w.rows)}}
	if err := parse(e); err != nil {
		w.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	return e
}

func (w *world) take(e *enrich.Event) *enrich.Event {
	w.Helper()
	if err := w.op.OnEvent(e, nil); err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) socket(table string, pid int, at float64, columns string) *enrich.Event {
	w.Helper()
	row := fmt.Sprintf(`{"name":%q,"hostIdentifier":"h","columns":{"pid":"%d","path":"",%s},"action":"added"}`, table, pid, columns)
	return w.take(w.event(func(e *enrich.Event) error { return e.Parse([]byte(row)) }, moment(at)))
}

func moment(at float64) time.Time { return time.Unix(t0, int64(at*1e9)).UTC() }

// asks is the pids that fit a connection from 10.0.0.5:4000 to 198.51.100.7:443.
func (w *world) asks(at float64) (pids []int64, e *enrich.Event) {
	w.Helper()
	const conn = `{"_path":"conn","ts":1,"id.orig_h":"10.0.0.5","id.orig_p":4000,"id.resp_h":"198.51.100.7","id.resp_p":443,"conn_state":"SF"}`
	e = w.event(func(e *enrich.Event) error { return e.ParseSensor([]byte(conn)) }, moment(at))
	e.Link = &enrich.Link{Host: "h", Source: "s"}
	w.take(e)
	for _, s := range e.Link.Sockets {
		pids = append(pids, s.PID)
	}
	return pids, e
}

const (
	audit = `"action":"connect","local_address":"","local_port":"0","remote_address":"198.51.100.7","remote_port":"443"`
	tuple = `"syscall":"connect","local_address":"10.0.0.5","local_port":"4000","remote_address":"198.51.100.7","remote_port":"443"`
)

func TestTheBestEvidenceCounts(t *testing.T) {
	for name, c := range map[string]struct {
		rows func(w *world)
		at   float64
		want []int64
	}{
		"none": {func(*world) {}, 10, nil},
		"audit within the skew": {func(w *world) {
			w.socket("socket_events", 1, 10, audit)
			w.socket("socket_events", 2, 20, audit)
		}, 14.9, []int64{1}},
		"audit too early or late": {func(w *world) {
			w.socket("socket_events", 1, 4, audit)
			w.socket("socket_events", 2, 17, audit)
		}, 11, nil},
		"two of audit": {func(w *world) {
			w.socket("socket_events", 2, 11, audit)
			w.socket("socket_events", 1, 10, audit)
		}, 11, []int64{1, 2}},
		"the tuple before audit": {func(w *world) {
			w.socket("socket_events", 1, 10, audit)
			w.socket("bpf_socket_events", 2, 9, tuple)
		}, 10, []int64{2}},
		"the latest of the tuple": {func(w *world) {
			w.socket("bpf_socket_events", 1, 100, tuple)
			w.socket("bpf_socket_events", 2, 200, tuple)
			w.socket("bpf_socket_events", 3, 300, tuple)
		}, 290, []int64{2}},
		"another local port": {func(w *world) {
			w.socket("bpf_socket_events", 1, 10, `"syscall":"connect","local_address":"10.0.0.5","local_port":"4001","remote_address":"198.51.100.7","remote_port":"443"`)
		}, 10, nil},
		"another local address": {func(w *world) {
			w.socket("bpf_socket_events", 1, 10, `"syscall":"connect","local_address":"10.0.0.6","local_port":"4000","remote_address":"198.51.100.7","remote_port":"443"`)
		}, 10, nil},
		"seen open": {func(w *world) {
			w.socket("process_open_sockets", 5, 60, `"fd":"3","socket":"1","family":"2","protocol":"6","local_address":"10.0.0.5","local_port":"4000","remote_address":"198.51.100.7","remote_port":"443"`)
		}, 30, []int64{5}},
		"seen open long before": {func(w *world) {
			w.socket("process_open_sockets", 5, 60, `"fd":"3","socket":"1","family":"2","protocol":"6","local_address":"10.0.0.5","local_port":"4000","remote_address":"198.51.100.7","remote_port":"443"`)
		}, 700, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, flow.Config{})
			c.rows(w)
			w.op = flow.New(flow.Config{}, w.state) // as after a restart
			got, e := w.asks(c.at)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("pids %v, want %v", got, c.want)
			}
			if len(e.Evidence) != len(c.want) || (len(e.Gaps) == 0) != (len(c.want) == 1) {
				t.Errorf("evidence %v, gaps %v", e.Evidence, e.Gaps)
			}
		})
	}
}

// A socket that comes late has those links asked again that it may be; where the host
// has none, nobody is asked.
func TestALateSocketHasLinksAskedAgain(t *testing.T) {
	w := newWorld(t, flow.Config{})
	if e := w.socket("socket_events", 1, 10, audit); len(e.Learned.Addresses) != 0 {
		t.Error("links were asked again of a host that has none")
	}
	w.asks(10)
	if e := w.socket("socket_events", 2, 11, audit); len(e.Learned.Addresses) != 1 || !e.Learned.Since.Equal(moment(6)) {
		t.Errorf("%+v", e.Learned)
	}
	if e := w.socket("socket_events", 3, 30, audit); len(e.Learned.Addresses) != 0 {
		t.Error("links were asked again that are older than the socket")
	}
}

func TestSocketsAreForgottenAndBounded(t *testing.T) {
	w := newWorld(t, flow.Config{Keep: time.Minute, MaxPerHost: 3})
	for i := range 5 {
		w.socket("socket_events", i+1, float64(i*20), audit)
	}
	stats := enrich.NewStats()
	if w.op.Count(&stats); stats.Evicted["socket"] != 2 {
		t.Errorf("%v", stats.Evicted)
	}
	if err := w.op.OnTime("h", moment(105), nil); err != nil { // the first two are more than a minute and the skew ago
		t.Fatal(err)
	}
	if pids, _ := w.asks(0); pids != nil {
		t.Errorf("%v is remembered", pids)
	}
	if pids, _ := w.asks(40); len(pids) != 1 {
		t.Errorf("%v, want the third", pids)
	}
	w.socket("socket_events", 9, 100, audit)
	if pids, _ := w.asks(100); len(pids) != 1 {
		t.Error("there was room, and the socket is not remembered")
	}
}
