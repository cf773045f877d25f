package state

import (
	"bytes"
	"cmp"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func TestKeysComeApartAndSortAsTheirParts(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		var ops, hosts, keys [2]string
		var full [2][]byte
		for i := range full {
			ops[i], hosts[i], keys[i] = text.Draw(t, "operator"), text.Draw(t, "host"), text.Draw(t, "key")
			full[i] = AppendKey(nil, ops[i], enrich.Host(hosts[i]), []byte(keys[i]))
			op, host, key, err := ParseKey(full[i])
			if err != nil || op != ops[i] || string(host) != hosts[i] || string(key) != keys[i] {
				t.Fatalf("%x came apart as %q %q %q (%v)", full[i], op, host, key, err)
			}
		}
		want := cmp.Or(cmp.Compare(ops[0], ops[1]), cmp.Compare(hosts[0], hosts[1]), cmp.Compare(keys[0], keys[1]))
		if got := bytes.Compare(full[0], full[1]); got != want {
			t.Fatalf("%x and %x compare as %d, want %d", full[0], full[1], got, want)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(AppendKey(nil, "process", "host", []byte("key")))
	f.Add([]byte{keyVersion, 0, 1, 0, 1})
	f.Add([]byte{keyVersion, 0, 0xff, 0, 1, 0})
	f.Add([]byte{keyVersion + 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, host, key, err := ParseKey(b)
		scope, checked := checkKey(b)
		if (checked == nil) != (err == nil) {
			t.Fatalf("%x: %v, and %v", b, err, checked)
		}
		if err == nil && !bytes.Equal(b[scope:], key) {
			t.Fatalf("%x: its own key begins at %d, and is %x", b, scope, key)
		}
		if err == nil && !bytes.Equal(AppendKey(nil, op, host, key), b) {
			t.Errorf("%x came apart as %q %q %q, which is another key", b, op, host, key)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add(metaOf(of, 7, start))
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		of, position, written, err := parseMeta(b)
		if err == nil && !bytes.Equal(metaOf(of, position, written), b) {
			t.Errorf("%x was read as %v %d %v, which is another", b, of, position, written)
		}
	})
}
