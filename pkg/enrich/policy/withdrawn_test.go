package policy_test

import (
	"fmt"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
)

// What a sensor saw of another host is taken out of this one's finding, which is
// retracted when nothing is left of it, and opened again by what comes then.
func TestAWithdrawnLinkRetractsItsFinding(t *testing.T) {
	d := open(t, policy.Config{}, 90, someJA3)
	link := func(n, change int, withdrawn bool) []told {
		s := &enrich.Side{
			Host: "h", Kind: enrich.SideSensor, Source: fmt.Sprint("sensor/0/", n), Change: change, Withdrawn: withdrawn, Shared: change == 9,
			Value: fmt.Appendf(nil, `{"_path":"ssl","ts":%d,"uid":"C%d","id.orig_h":"10.0.0.1","id.orig_p":4000,"id.resp_h":"198.51.100.9","id.resp_p":443,"ja3":%q}`, start.Unix()+int64(n), n, someJA3),
		}
		b, err := s.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.put(enrich.Input{Value: b, Side: true})
	}
	status := func(got []told, status string, count, revision int) {
		t.Helper()
		if len(got) != 1 || got[0].Finding.Status != status || got[0].Finding.Count != count || got[0].Event.Revision != revision {
			t.Errorf("%+v, want %s of %d, revision %d", got, status, count, revision)
		}
	}
	status(link(1, 0, false), "open", 1, 0)
	link(2, 0, false) // told within a minute
	link(1, 1, true)
	status(link(2, 1, true), "retracted", 0, 1)
	if got := link(2, 1, true); len(got) != 0 { // once more, as without transactions
		t.Errorf("%+v", got)
	}
	d.restart()
	if got := link(1, 9, false); len(got) != 0 { // of several, and nothing says that it is this one
		t.Errorf("%+v", got)
	}
	status(link(3, 0, false), "open", 1, 2)
}
