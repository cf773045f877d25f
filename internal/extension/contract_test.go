package extension_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// osqueryd looks at the last row's answer only, and an error there is its end. So
// a failure must not be answered, in the middle of a run or at its end.
func TestNoRowOfARunIsEverRefused(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		keep := c.Accept
		c.Accept = func(ctx context.Context, c extension.Call) error {
			if string(c.Payload) == "bad" {
				return errors.New("no room")
			}
			return keep(ctx, c)
		}
	})
	activate(t, d)
	for _, run := range [][]string{{"1", "bad", "2"}, {"3", "bad"}, {"bad"}} {
		if err := d.LogRun(t.Context(), run...); err != nil {
			t.Errorf("run %q: %v", run, err)
		}
	}
	for _, a := range d.Answers() {
		if a.Request == "string" && a.Code != 0 {
			t.Errorf("answered %+v", a)
		}
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("accepted %q", got)
	}
}

// Whether osqueryd has a route is known to whoever watches this extension.
func TestTellsWhetherItIsRegistered(t *testing.T) {
	socket := socketPath(t)
	r := run(t, socket, nil)
	if _, ok := r.counters.RegisteredSince(); ok {
		t.Error("registered without an osqueryd")
	}
	before := time.Now()
	for range 2 {
		d := daemon(t, socket)
		activate(t, d)
		eventually(t, "the registration is known", func() bool {
			since, ok := r.counters.RegisteredSince()
			return ok && !since.Before(before.Truncate(0)) && !since.After(time.Now())
		})
		d.Kill()
		eventually(t, "its end is known", func() bool { _, ok := r.counters.RegisteredSince(); return !ok })
	}
	d := daemon(t, socket)
	activate(t, d)
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	r.ends()
	if _, ok := r.counters.RegisteredSince(); ok {
		t.Error("registered after the end")
	}
}
