package route_test

import (
	"context"
	"maps"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// An archive has the newest fact of each key that was not deleted, and takes nothing else;
// what is no record at all becomes a dead letter.
func TestAnArchiveKeepsTheNewestFactOfEachKey(t *testing.T) {
	kept := state.NewMemory()
	p := enrich.NewPipeline(nil, nil, nil)
	p.Route(route.NewArchive(kept))
	gone, err := owner.Deletion("b")
	if err != nil {
		t.Fatal(err)
	}
	var out enrich.Out
	for _, in := range []enrich.Input{
		{Key: []byte("a"), Value: []byte(`{"kind":"k","n":1}`)}, {Key: []byte("b"), Value: []byte(`{"kind":"k","n":2}`)},
		{Key: []byte("a"), Value: []byte(`{"kind":"k","n":3}`)}, {Key: []byte("b"), Value: gone}, {Key: []byte("never"), Value: gone},
		{Key: []byte("c"), Value: []byte(`{"n":4}`)}, {Key: []byte("c"), Value: []byte("none")}, {Value: []byte(`{"kind":"k","n":5}`)},
		{Key: []byte("d"), Value: []byte{1}, Broken: context.Canceled},
	} {
		if err := p.Process(t.Context(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	err = kept.Hosts(func(key enrich.Host) error {
		return kept.Scan(key, nil, func(_, value []byte) error { got[string(key)] = string(value); return nil })
	})
	if err != nil || !maps.Equal(got, map[string]string{"a": `{"kind":"k","n":3}`}) {
		t.Errorf("%v, %v", got, err)
	}
	if len(out.Outputs) != 1 || out.Outputs[0].Stream != enrich.DeadLetters {
		t.Errorf("%+v", out.Outputs)
	}
}
