package route

import (
	"reflect"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

func FuzzReadDoubt(f *testing.F) {
	d := doubt{change: 2, owners: []owner.Place{{Host: "a", Partition: 3}}}
	b, err := d.encode(&enrich.Side{Kind: enrich.SideSensor, Value: []byte(`{"ts":1}`), Source: "s/0/1", Change: 2, Responder: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, s, err := readDoubt(b)
		if err != nil {
			return
		}
		again, err := d.encode(s)
		if err != nil {
			t.Fatalf("read and not to be written: %v", err)
		}
		if back, _, err := readDoubt(again); err != nil || back.change != d.change || !reflect.DeepEqual(back.owners, d.owners) {
			t.Fatalf("%+v became %+v: %v", d, back, err)
		}
	})
}
