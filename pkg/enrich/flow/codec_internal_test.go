package flow

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func aSocket() socket {
	return socket{
		remote: netip.MustParseAddr("2001:db8::1"), local: netip.MustParseAddr("10.0.0.5"), remotePort: 443, localPort: 4000, pid: 7,
		at: time.Unix(1_760_000_000, 5).UTC(), listed: true, event: "a/b/1/0", late: -time.Second,
		position: enrich.Position{Topic: "t", Partition: 3, Offset: 9, File: "f", Line: 2},
	}
}

func TestASocketIsReadAsItWasWritten(t *testing.T) {
	want := aSocket()
	if got, err := decode(want.key(), want.encode()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\n%+v %v", got, want, err)
	}
}

func FuzzDecode(f *testing.F) {
	s := aSocket()
	f.Add(s.key(), s.encode())
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s, err := decode(key, value)
		if err != nil {
			return
		}
		if again, err := decode(s.key(), s.encode()); err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v became %+v: %v", s, again, err)
		}
	})
}
