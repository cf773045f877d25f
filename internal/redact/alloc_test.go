//go:build !race

package redact_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/redact"
)

// The race detector makes a sync.Pool forget at random, which allocates.
func TestAMissAllocatesNothing(t *testing.T) {
	rules := compile(t, append(presets(), redact.Rule{Name: "q", Match: "pin=([0-9]+)", Columns: []string{"cmdl*"}, Queries: []string{"*"}})...)
	payload := []byte(row("cmdline", `bash -c "ssh -p 22 host" `+"\t"+`https://example.com/`))
	if n := testing.AllocsPerRun(1000, func() { rules.Apply(extension.TypeString, payload) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
