package process_test

import (
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// counting is a State that counts what is written.
type counting struct {
	*state.Memory
	writes int
}

func (c *counting) Put(host enrich.Host, key, value []byte) error {
	c.writes++
	return c.Memory.Put(host, key, value)
}

func (c *counting) Delete(host enrich.Host, key []byte) error {
	c.writes++
	return c.Memory.Delete(host, key)
}

func TestRowsTellWhatWaitsForThem(t *testing.T) {
	const login = `{"name":"user_events","hostIdentifier":"h","columns":{"pid":"1000","auid":"1000","uid":"0","type":"1112","path":"/usr/sbin/sshd","message":"x","terminal":"ssh","time":"1760000005"}}`
	const user = `{"name":"users","hostIdentifier":"h","unixTime":1760000005,"columns":{"uid":"1000","username":"alice"},"action":"added"}`
	op := process.New(process.Config{}, state.NewMemory())
	for _, c := range []struct {
		what, row string
		want      enrich.Learned
	}{
		{"an event that waits", connect("h", t0+1, 103, "/usr/bin/curl"), enrich.Learned{}},
		{"a start", exec("h", t0, 103, 1, "/usr/bin/curl", "execve"), enrich.Learned{PID: 103, Since: time.Unix(t0, 0)}},
		{"the same start", exec("h", t0, 103, 1, "/usr/bin/curl", "execve"), enrich.Learned{}},
		{"a listing of it", listed("h", "added", t0+60, 103, 1, t0, "/usr/bin/curl"), enrich.Learned{PID: 103, Since: time.Unix(t0, 0)}},
		{"a later listing", listed("h", "added", t0+120, 103, 1, t0, "/usr/bin/curl"), enrich.Learned{}},
		{"its absence", listed("h", "removed", t0+180, 103, 1, t0, "/usr/bin/curl"), enrich.Learned{PID: 103, Since: time.Unix(t0+180, 0)}},
		{"a login", login, enrich.Learned{Session: true, Since: time.Unix(t0+3, 0)}},
		{"a user's name", user, enrich.Learned{Session: true}},
	} {
		e := newEvent(t, c.row)
		if err := op.OnEvent(e, nil); err != nil {
			t.Fatal(err)
		}
		if got := e.Learned; got.PID != c.want.PID || got.Session != c.want.Session || !got.Since.Equal(c.want.Since) {
			t.Errorf("%s: learned %+v, want %+v", c.what, got, c.want)
		}
	}
}

// An event asks about its own pid and all its ancestors', known or not.
func TestAnEventAsksForItsAncestors(t *testing.T) {
	op := process.New(process.Config{}, state.NewMemory())
	run(t, op, exec("h", t0, 103, 102, "/usr/bin/curl", "execve"), exec("h", t0, 102, 101, "/bin/sh", "execve"))
	e := newEvent(t, connect("h", t0+1, 103, "/usr/bin/curl"))
	if err := op.OnEvent(e, nil); err != nil {
		t.Fatal(err)
	}
	if !e.Asked(103) || !e.Asked(102) || !e.Asked(101) {
		t.Errorf("asks for 103: %v, 102: %v, 101: %v", e.Asked(103), e.Asked(102), e.Asked(101))
	}
}

func TestAnAnswerKeepsNothing(t *testing.T) {
	kept := &counting{Memory: state.NewMemory()}
	op := process.New(process.Config{}, kept)
	rows := []string{
		exec("h", t0, 103, 102, "/usr/bin/curl", "execve"), exec("h", t0+4, 104, 102, "/usr/bin/new", "clone"), connect("h", t0+7200, 103, "/usr/bin/curl"),
		listed("h", "added", t0+60, 105, 1, t0, "/usr/bin/x"), listed("h", "removed", t0+60, 103, 1, t0, "/usr/bin/curl"),
	}
	for _, row := range rows {
		if err := op.Answer(newEvent(t, row)); err != nil {
			t.Fatal(err)
		}
	}
	if kept.writes != 0 {
		t.Errorf("%d writes", kept.writes)
	}
	e := newEvent(t, connect("h", t0+1, 103, ""))
	if err := op.Answer(e); err != nil || e.Process != nil {
		t.Errorf("a row that was only asked about was taken: %+v, %v", e.Process, err)
	}
}

// When a process was seen is kept in steps: most events write nothing.
func TestBusyProcessesWriteLittle(t *testing.T) {
	kept := &counting{Memory: state.NewMemory()}
	op := process.New(process.Config{}, kept)
	if err := op.OnEvent(newEvent(t, exec("h", t0, 103, 1, "/usr/bin/curl", "execve")), nil); err != nil {
		t.Fatal(err)
	}
	before := kept.writes
	for i := range 3600 {
		if err := op.OnEvent(newEvent(t, connect("h", t0+i, 103, "/usr/bin/curl")), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := kept.writes - before; n > 6 {
		t.Errorf("%d writes for an hour of calls", n)
	}
}
