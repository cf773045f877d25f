package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// rows draws a host's rows within a few seconds and few pids, so that they meet. In
// each, time, pid, parent and path are few.
func drawRow(t *rapid.T, i int, kinds int) string {
	at := t0 + rapid.IntRange(0, 8).Draw(t, "at")
	pid, parent := rapid.IntRange(1, 5).Draw(t, "pid"), rapid.IntRange(0, 5).Draw(t, "parent")
	path := rapid.SampledFrom([]string{"/bin/a", "/bin/b", "/usr/bin/sudo"}).Draw(t, "path")
	user := rapid.IntRange(1000, 1001).Draw(t, "user")
	columns := map[string]any{"pid": pid, "parent": parent, "path": path, "cmdline": path + " x", "uid": user, "auid": user, "time": at}
	name, action := "process_events", "added"
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return connect("h", at, pid, path)
	case 1:
		name, action = "processes", rapid.SampledFrom([]string{"added", "removed"}).Draw(t, "action")
		columns["start_time"] = at - rapid.IntRange(0, 3).Draw(t, "age")
		delete(columns, "time")
	case 2:
		name, columns["event_type"] = "es_process_events", rapid.SampledFrom([]string{"exec", "fork", "exit"}).Draw(t, "es")
		columns["child_pid"] = pid + 1
	case 3:
		name, columns["type"], columns["message"] = "user_events", rapid.SampledFrom([]int{1105, 1106, 1112}).Draw(t, "type"), "x"
		columns["terminal"] = rapid.SampledFrom([]string{"ssh", "pts/0"}).Draw(t, "tty")
	case 4:
		name = "last"
		columns = map[string]any{"pid": pid, "username": fmt.Sprint("u", user), "tty": "pts/1", "host": "", "time": at, "type": rapid.SampledFrom([]int{7, 8}).Draw(t, "utmp")}
	case 5:
		name, columns = "users", map[string]any{"uid": user, "username": fmt.Sprint("u", user)}
	case 6:
		name, columns = "docker_containers", map[string]any{"id": fmt.Sprint("c", pid), "pid": pid}
	case allKinds:
		name = "processes" // of a query that leaves out the start
		delete(columns, "time")
	default:
		columns["syscall"] = rapid.SampledFrom([]string{"execve", "clone", "kill"}).Draw(t, "syscall")
		columns["eid"] = fmt.Sprintf("%010d", i)
	}
	texts := map[string]string{}
	for k, v := range columns {
		texts[k] = fmt.Sprint(v)
	}
	body, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"name":%q,"hostIdentifier":"h","unixTime":%d,"columns":%s,"action":%q}`, name, at, body, action)
}

// allKinds also draws the kind of row for which the order matters: of a query that
// leaves out when a process began, only the first and last of a run are kept.
const (
	allKinds     = 8
	orderedKinds = allKinds - 1
)

func drawRows(t *rapid.T, kinds int) []string {
	n := rapid.IntRange(1, 40).Draw(t, "rows")
	rows := make([]string, n)
	for i := range rows {
		rows[i] = drawRow(t, i, kinds)
	}
	return rows
}

// swapped is an operator that can be exchanged for another, and that may be asked for
// answers alone.
type swapped struct {
	*process.Operator
	answers bool
}

func (s *swapped) OnEvent(e *enrich.Event, out *enrich.Out) error {
	if s.answers {
		return s.Answer(e)
	}
	return s.Operator.OnEvent(e, out)
}

// teller hands rows to an operator.
type teller struct {
	operator swapped
	pipeline *enrich.Pipeline
}

func newTeller(op *process.Operator) *teller {
	t := &teller{operator: swapped{Operator: op}}
	t.pipeline = enrich.NewPipeline(event.NewLenses(), []enrich.Operator{&t.operator}, nil)
	return t
}

// tell hands a row in that is read at an offset, and returns what was told of it, but
// for the time of telling.
func (t *teller) tell(test interface{ Fatal(...any) }, row string, offset int) string {
	var out enrich.Out
	in := enrich.Input{Value: []byte(row), Position: enrich.Position{Topic: "t", Offset: int64(offset)}}
	if err := t.pipeline.Process(context.Background(), in, &out); err != nil {
		test.Fatal(err)
	}
	var value struct{ Enrichment map[string]any }
	if err := json.Unmarshal(out.Outputs[0].Value, &value); err != nil {
		test.Fatal(err)
	}
	delete(value.Enrichment["event"].(map[string]any), "ingested")
	text, err := json.Marshal(value.Enrichment)
	if err != nil {
		test.Fatal(err)
	}
	return string(text)
}

// An operator that is built anew over its State at any point, as after an abort,
// answers as the one that was not.
func TestAnOperatorBuiltAnewOverItsStateGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t, allKinds)
		cfg := process.Config{
			MaxPerHost: rapid.SampledFrom([]int{0, 4, 10}).Draw(t, "cap"), MaxCached: rapid.SampledFrom([]int{0, 1}).Draw(t, "cached"),
		}
		for i := range rows { // hours pass, so that records become thin and go
			if rapid.IntRange(0, 9).Draw(t, "pause") == 0 {
				rows = append(rows[:i:i], append([]string{connect("h", t0+i*3000, 9, "")}, rows[i:]...)...)
			}
		}
		calm, kept := newTeller(process.New(cfg, state.NewMemory())), state.NewMemory()
		shaken := newTeller(process.New(cfg, kept))
		for i, row := range rows {
			if rapid.IntRange(0, 4).Draw(t, "anew") == 0 {
				shaken.operator.Operator = process.New(cfg, kept)
			}
			if want, got := calm.tell(t, row, i), shaken.tell(t, row, i); want != got {
				t.Fatalf("row %d %s:\n%s\nbuilt anew:\n%s", i, row, want, got)
			}
		}
	})
}

// Whatever the order in which rows come: once all came, the answers are the same.
func TestTheOrderOfRowsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t, orderedKinds)
		order := rapid.Permutation(indexes(len(rows))).Draw(t, "order")
		one, other := newTeller(process.New(process.Config{}, state.NewMemory())), newTeller(process.New(process.Config{}, state.NewMemory()))
		for i, n := range order {
			one.tell(t, rows[i], i)
			other.tell(t, rows[n], n)
		}
		one.operator.answers, other.operator.answers = true, true
		for i, row := range rows {
			if want, got := one.tell(t, row, i), other.tell(t, row, i); want != got {
				t.Fatalf("row %d %s:\n%s\nin another order:\n%s\nof the rows\n%s\nin the order %v", i, row, want, got, strings.Join(rows, "\n"), order)
			}
		}
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
