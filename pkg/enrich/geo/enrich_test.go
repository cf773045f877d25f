package geo

import (
	"slices"
	"testing"

	"github.com/stackjoin/stackjoin/internal/geotest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// What an absent database would say is unknown, and only of events that ask it.
func TestANeverLoadedFileIsAGapWhereItIsAsked(t *testing.T) {
	s, errs := Open(Config{Country: geotest.Country(t, map[string]string{"198.51.100.0/24": "NL"}), ASN: "/nowhere/asn.mmdb"})
	if len(errs) != 1 {
		t.Fatal(errs)
	}
	gap := enrich.Gap{Question: "geo", Reason: enrich.GeoUnavailable}
	for row, want := range map[string]bool{
		`{"name":"socket_events","hostIdentifier":"h","columns":{"action":"connect","pid":"1","remote_address":"198.51.100.9","remote_port":"1"}}`: true,
		`{"name":"socket_events","hostIdentifier":"h","columns":{"action":"connect","pid":"1","remote_address":"","remote_port":"1"}}`:             false,
		`{"name":"process_events","hostIdentifier":"h","columns":{"path":"/bin/ls"}}`:                                                              false,
	} {
		e := &enrich.Event{}
		if err := e.Parse([]byte(row)); err != nil {
			t.Fatal(err)
		}
		e.Lens = event.NewFinder(event.NewLenses()).Find(&e.Row)
		e.Kind = e.Lens.Kind
		if err := s.Enrich(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(e.Gaps, gap) != want || want && e.RemoteLocation.Country != "NL" {
			t.Errorf("%s: %+v %+v", row, e.Gaps, e.RemoteLocation)
		}
	}
}
