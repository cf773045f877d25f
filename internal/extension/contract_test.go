package extension_test

import (
	"context"
	"errors"
	"slices"
	"testing"

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
