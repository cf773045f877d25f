package dns

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func parsed(t testing.TB, row string, at time.Time) *enrich.Event {
	t.Helper()
	e := &enrich.Event{Host: "h", ID: "id", Time: at}
	if err := e.Parse([]byte(row)); err != nil {
		t.Fatal(err)
	}
	e.Lens = event.NewLenses().Find(&e.Row)
	e.Kind = e.Lens.Kind
	return e
}

// What was spoken to an address comes before what was looked up, for the process and
// the port that it was spoken by and to.
func TestWhatWasSpokenComesBeforeWhatWasLookedUp(t *testing.T) {
	at := time.Unix(1_760_000_000, 0)
	addr := netip.MustParseAddr("192.0.2.1")
	socket := `{"name":"socket_events","columns":{"pid":"7","remote_address":"192.0.2.1","remote_port":"443"}}`
	for what, c := range map[string]struct {
		pid  int64
		port uint16
		want []string
	}{
		"its own":               {7, 443, []string{"sni.example"}},
		"nobody knows whose":    {0, 0, []string{"sni.example"}},
		"of another process":    {8, 443, []string{"dns.example"}},
		"to another port":       {7, 8443, []string{"dns.example"}},
		"of another, elsewhere": {8, 8443, []string{"dns.example"}},
	} {
		t.Run(what, func(t *testing.T) {
			o := New(Config{}, state.NewMemory())
			e := parsed(t, socket, at)
			spoken := spokenName(e, "sni.example", enrich.FromSNI, c.port)
			spoken.pid = c.pid
			for _, n := range []name{lookedUp("dns.example", at), spoken} {
				if err := o.learn(e, addressKey(addr), n); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.OnEvent(e, nil); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range e.Names {
				got = append(got, n.Name)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("names %q, want %q", got, c.want)
			}
		})
	}
}

func lookedUp(text string, at time.Time) name {
	return name{text: text, source: enrich.FromDNS, from: at, until: at.Add(time.Minute)}
}

func TestTheHostThatHTTPAsked(t *testing.T) {
	for _, c := range []struct{ header, url, want string }{
		{"www.example.com", "", "www.example.com"},
		{"WWW.example.com:8080", "http://other.example/", "www.example.com"},
		{"", "https://www.example.com/x?y=http://b.example/", "www.example.com"},
		{"", "https://user:p@ss@www.example.com:8443?q", "www.example.com"},
		{"192.0.2.1", "", ""},
		{"[2001:db8::1]:80", "", ""},
		{"", "/x", ""},
		{"", "", ""},
	} {
		if got := asked(c.header, c.url); got != c.want {
			t.Errorf("asked(%q, %q) = %q, want %q", c.header, c.url, got, c.want)
		}
	}
}

func FuzzNames(f *testing.F) {
	at := time.Unix(1_760_000_000, 0).UTC()
	f.Add(encode(nil, []name{lookedUp("a.example", at), {text: "b.example", source: enrich.FromSNI, pid: 7, port: 443, from: at, until: at, id: "x/y/1/0", place: origin.Place{At: 7, Late: -3, Of: 1}}}, format))
	f.Add(encode(nil, []name{lookedUp("a.example", at)}, 1))
	f.Add(encode(nil, nil, format))
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, value []byte) {
		all, err := decode(value)
		if err != nil {
			return
		}
		again, err := decode(encode(nil, all, format))
		if err != nil || len(again) != len(all) {
			t.Fatalf("%v became %v, %v", all, again, err)
		}
		for i := range all {
			if again[i] != all[i] {
				t.Fatalf("%+v became %+v", all[i], again[i])
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"type:  5 a.example;::ffff:192.0.2.1;", `["a.example","192.0.2.1"]`, `[{"Rdata":"192.0.2.1","Type":"A"}]`, "fe80::1%eth0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, response string) {
		row := append(event.AppendString([]byte(`{"name":"dns_lookup_events","columns":{"name":"a.example","response":`), response), "}}"...)
		a := read(parsed(t, string(row), time.Unix(1, 0)), time.Minute)
		for _, addr := range a.addresses {
			if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
				t.Fatalf("address %v of %q", addr, response)
			}
		}
		if len(a.addresses) > maxAnswer || len(a.aliases) > maxChain {
			t.Fatalf("%d addresses, %d aliases", len(a.addresses), len(a.aliases))
		}
	})
}

func BenchmarkSocket(b *testing.B) {
	at := time.Unix(1_760_000_000, 0)
	o := New(Config{}, state.NewMemory())
	hit := parsed(b, `{"name":"socket_events","columns":{"pid":"7","remote_address":"192.0.2.1","remote_port":"443"}}`, at)
	miss := parsed(b, `{"name":"socket_events","columns":{"pid":"7","remote_address":"192.0.2.2","remote_port":"443"}}`, at)
	if err := o.learn(hit, addressKey(netip.MustParseAddr("192.0.2.1")), lookedUp("a.example", at)); err != nil {
		b.Fatal(err)
	}
	for what, e := range map[string]*enrich.Event{"hit": hit, "miss": miss} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if err := o.OnEvent(e, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
