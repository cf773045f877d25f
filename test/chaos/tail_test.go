//go:build chaos || e2e

package chaos

import (
	"os"
	"path/filepath"
	"testing"
)

// What a kill or a power cut leaves of an append at the end of the spool holds up
// nothing that lies before it, on a host where nothing more happens.
func TestACutOffTailHoldsNothingUp(t *testing.T) {
	broker := newShakyBroker(t)
	h := newHost(t, broker.addr())
	start(t, h)
	broker.setAway(true)
	logSome(t, h, 0, 10)
	stop(t, h)
	segments, err := filepath.Glob(filepath.Join(h.Spool(), "*.seg"))
	must(t, err)
	if len(segments) == 0 {
		t.Fatal("the spool has no segment")
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString("SJF1 what was written of a call when the power went")
	must(t, err)
	must(t, f.Close())
	broker.setAway(false)
	start(t, h)
	checkNames(t, everyRow(t, broker.addr(), 10))
}
