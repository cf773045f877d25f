package journal

import (
	"bytes"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// What parses is written again as the same.
func FuzzParse(f *testing.F) {
	o := &object{whole: true, number: 7, chain: []string{"a", "b"}, changes: []state.Change{{Key: []byte("k")}, {Key: []byte("l"), Value: []byte("v")}},
		outputs: []enrich.Output{{Stream: enrich.Findings, Key: []byte("k"), Value: []byte("v"), ID: "i", Kind: "k", Schema: "s"}}}
	f.Add(o.bytes())
	f.Add((&object{}).bytes())
	f.Fuzz(func(t *testing.T, plain []byte) {
		o, err := parse(plain)
		if err != nil {
			return
		}
		again, err := parse(o.bytes())
		if err != nil || !bytes.Equal(again.bytes(), o.bytes()) {
			t.Fatalf("%+v, %v; want %+v", again, err, o)
		}
	})
}
