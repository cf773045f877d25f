package dns_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const t0 = 1_760_000_000

// lookup is a dns_lookup_events row as osquery 5.23 writes it on Windows.
func lookup(at, pid int, path, name, response string) string {
	return fmt.Sprintf(`{"name":"dns_lookup_events","hostIdentifier":"h","unixTime":%d,"columns":{"name":%q,"path":%q,"pid":"%d","response":%q,`+
		`"status":"0","time":"%d","type":"A","type_id":"1","username":"u"},"action":"added"}`, at+30, name, path, pid, response, at)
}

func connect(at, pid int, remote string) string { return socket(at, pid, "connect", remote, 443) }

func socket(at, pid int, action, remote string, port int) string {
	return fmt.Sprintf(`{"name":"socket_events","hostIdentifier":"h","unixTime":%d,"columns":{"action":%q,"local_address":"","local_port":"0",`+
		`"path":"","pid":"%d","remote_address":%q,"remote_port":"%d","time":"%d"},"action":"added"}`, at+30, action, pid, remote, port, at)
}

// answered is what these tests read of the output.
type answered struct {
	Enrichment struct {
		Destination struct{ Domain string }
		Source      struct{ Domain string }
		DNS         struct {
			Candidates []struct {
				Name, Status, Source, Evidence string
				Same                           bool `json:"same_process"`
			}
		}
		Gaps     []struct{ Question, Reason string }
		Evidence []struct {
			For, ID string
			Line    int
		}
	}
}

// says is the answer in a line: "=name" where one is attributed, the candidates, or a gap.
func (a *answered) says() string {
	var parts []string
	if d := a.Enrichment.Destination.Domain + a.Enrichment.Source.Domain; d != "" {
		parts = append(parts, "="+d)
	} else {
		for _, c := range a.Enrichment.DNS.Candidates {
			parts = append(parts, c.Name)
		}
	}
	for _, g := range a.Enrichment.Gaps {
		parts = append(parts, g.Reason)
	}
	return strings.Join(parts, " ")
}

// run takes rows through a pipeline over st and returns what came of the last.
func run(t interface{ Fatal(...any) }, op *dns.Operator, rows ...string) []answered {
	return runFrom(t, op, 1, rows...)
}

// runFrom is run for rows that begin at a line.
func runFrom(t interface{ Fatal(...any) }, op *dns.Operator, line int, rows ...string) []answered {
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, nil)
	var out enrich.Out
	for i, r := range rows {
		in := enrich.Input{Value: []byte(r), Position: enrich.Position{File: "t", Line: int64(i + line)}}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	all := make([]answered, len(out.Outputs))
	for i, o := range out.Outputs {
		if err := schematest.Check(o.Schema, o.Value); err != nil {
			t.Fatal(err, string(o.Value))
		}
		if err := json.Unmarshal(o.Value, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Each name's row is cited; of several lookups of one, the first.
func TestTheRowsThatTellNamesAreCited(t *testing.T) {
	rows := []string{
		lookup(t0, 7, "curl", "a.example", "192.0.2.1;"), lookup(t0+5, 7, "curl", "a.example", "192.0.2.1;"),
		lookup(t0+6, 7, "curl", "b.example", "192.0.2.1;"), connect(t0+7, 7, "192.0.2.1"),
	}
	for format, want := range map[int]string{1: "", 2: " name a.example@1 name b.example@3"} {
		kept := state.NewMemory()
		all := run(t, dns.New(dns.Config{Format: format}, kept), rows...)
		all = append(all, runFrom(t, dns.New(dns.Config{}, kept), 9, rows[3])...)
		for i, a := range all[3:] {
			got := ""
			for _, p := range a.Enrichment.Evidence[1:] {
				got += fmt.Sprintf(" %s %s@%d", p.For, p.ID, p.Line)
			}
			if got != want {
				t.Errorf("format %d, answer %d: cited %q, want %q", format, i, got, want)
			}
		}
	}
}

func TestTheNameOfASocket(t *testing.T) {
	const curl, stub = `C:\Windows\System32\curl.exe`, `C:\Windows\System32\svchost.exe`
	one := lookup(t0, 7, curl, "www.example.com", "192.0.2.1;")
	for name, c := range map[string]struct {
		rows []string
		want string
	}{
		"one name":                   {[]string{one, connect(t0+1, 7, "192.0.2.1")}, "=www.example.com"},
		"upper case and a final dot": {[]string{lookup(t0, 7, curl, "WWW.Example.com.", "192.0.2.1;"), one, connect(t0+1, 7, "192.0.2.1")}, "=www.example.com"},
		"several addresses":          {[]string{lookup(t0, 7, curl, "a.example", "192.0.2.1;192.0.2.2;192.0.2.3;"), connect(t0+1, 7, "192.0.2.3")}, "=a.example"},
		"IPv4 mapped into IPv6":      {[]string{lookup(t0, 7, curl, "a.example", "::ffff:192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "=a.example"},
		"IPv6":                       {[]string{lookup(t0, 7, curl, "a.example", "2001:db8::1;"), connect(t0+1, 7, "2001:db8:0::0001")}, "=a.example"},
		"CNAMEs in the answer":       {[]string{lookup(t0, 7, curl, "a.example", "type:  5 b.cdn.example;type:  5 c.cdn.example;::ffff:192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "=a.example"},
		"CNAMEs looked up apart": {[]string{lookup(t0, 7, curl, "a.example", "type:  5 b.cdn.example;"), lookup(t0, 7, curl, "b.cdn.example", "type:  5 c.cdn.example;"),
			lookup(t0, 7, curl, "c.cdn.example", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "=a.example"},
		"CNAMEs in a ring": {[]string{lookup(t0, 7, curl, "a.example", "type:  5 b.example;"), lookup(t0, 7, curl, "b.example", "type:  5 a.example;"),
			lookup(t0, 7, curl, "a.example", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "a.example b.example"},
		"two names of one process":     {[]string{one, lookup(t0, 7, curl, "b.example", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "b.example www.example.com"},
		"another process's name":       {[]string{one, connect(t0+1, 8, "192.0.2.1")}, "=www.example.com"},
		"its own before another's":     {[]string{one, lookup(t0, 8, curl, "b.example", "192.0.2.1;"), connect(t0+1, 8, "192.0.2.1")}, "=b.example"},
		"others' are candidates":       {[]string{one, lookup(t0, 8, curl, "b.example", "192.0.2.1;"), connect(t0+1, 9, "192.0.2.1")}, "b.example www.example.com"},
		"a stub's are the host's":      {[]string{lookup(t0, 3, stub, "a.example", "192.0.2.1;"), lookup(t0, 3, stub, "b.example", "192.0.2.1;"), connect(t0+1, 3, "192.0.2.1")}, "a.example b.example"},
		"a stub has none of its own":   {[]string{lookup(t0, 3, stub, "a.example", "192.0.2.1;"), lookup(t0, 8, curl, "b.example", "192.0.2.1;"), connect(t0+1, 3, "192.0.2.1")}, "a.example b.example"},
		"own before a stub's":          {[]string{one, lookup(t0, 3, stub, "b.example", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, "=www.example.com"},
		"TTL and grace not over":       {[]string{one, connect(t0+600, 7, "192.0.2.1")}, "=www.example.com"},
		"TTL and grace over":           {[]string{one, connect(t0+601, 7, "192.0.2.1")}, "name_unknown"},
		"asked again":                  {[]string{one, lookup(t0+500, 7, curl, "www.example.com", "192.0.2.1;"), connect(t0+1000, 7, "192.0.2.1")}, "=www.example.com"},
		"looked up later":              {[]string{one, connect(t0-60, 7, "192.0.2.1")}, "name_unknown"},
		"another address":              {[]string{one, connect(t0+1, 7, "192.0.2.9")}, "name_unknown"},
		"no names for an hour":         {[]string{one, connect(t0+3*3600, 7, "192.0.2.9")}, ""},
		"never any names":              {[]string{connect(t0, 7, "192.0.2.9")}, ""},
		"an address nobody names":      {[]string{one, connect(t0+1, 7, "127.0.0.1"), socket(t0+1, 7, "connect", "192.0.2.53", 53)}, ""},
		"who connected to us":          {[]string{one, socket(t0+1, 7, "accept", "192.0.2.1", 4711)}, ""},
		"text where addresses are":     {[]string{lookup(t0, 7, curl, "a.example", "type:  16 v=spf1 ip4:192.0.2.1;0.0.0.0;::;"), connect(t0+1, 7, "192.0.2.1")}, "name_unknown"},
		"no answer":                    {[]string{lookup(t0, 7, curl, "a.example", ""), connect(t0+1, 7, "192.0.2.1")}, "name_unknown"},
		"a name that is an address":    {[]string{lookup(t0, 7, curl, "192.0.2.1", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1")}, ""},
		"a list as sensors write them": {[]string{lookup(t0, 7, curl, "a.example", `["b.cdn.example","192.0.2.1"]`), connect(t0+1, 7, "192.0.2.1")}, "=a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			all := run(t, dns.New(dns.Config{}, state.NewMemory()), c.rows...)
			if got := all[len(all)-1].says(); got != c.want {
				t.Errorf("answer %q, want %q", got, c.want)
			}
		})
	}
}

func TestANameTellsItsEvidence(t *testing.T) {
	all := run(t, dns.New(dns.Config{}, state.NewMemory()), lookup(t0, 7, "curl.exe", "a.example", "192.0.2.1;"), connect(t0+1, 7, "192.0.2.1"))
	c := all[1].Enrichment.DNS.Candidates
	if len(c) != 1 || c[0].Status != "attributed" || c[0].Source != "dns" || c[0].Evidence != "t:1" || !c[0].Same {
		t.Errorf("names %+v", c)
	}
}

func TestAnAddressOfManyNamesTellsThatItWasCut(t *testing.T) {
	op := dns.New(dns.Config{MaxNames: 40}, state.NewMemory())
	var rows []string
	for i := range 60 {
		rows = append(rows, lookup(t0+i, 3, "svchost.exe", fmt.Sprintf("n%02d.example", i), "192.0.2.1;"))
	}
	all := run(t, op, append(rows, connect(t0+70, 7, "192.0.2.1"))...)
	last := all[len(all)-1].Enrichment
	if len(last.DNS.Candidates) != 16 || len(last.Gaps) != 1 || last.Gaps[0].Reason != "names_cut" || last.Destination.Domain != "" {
		t.Errorf("%d candidates, gaps %v", len(last.DNS.Candidates), last.Gaps)
	}
	if op.Evicted() != 20 {
		t.Errorf("%d evicted, want 20", op.Evicted())
	}
}

func TestTheCapForgetsWhatEndsFirstAndCounts(t *testing.T) {
	st := state.NewMemory()
	op := dns.New(dns.Config{MaxAddresses: 32}, st)
	var rows []string
	for i := range 100 {
		rows = append(rows, lookup(t0+i, 7, "a.exe", "a.example", fmt.Sprintf("192.0.2.%d;", i)))
	}
	all := run(t, op, append(rows, connect(t0+100, 7, "192.0.2.99"), connect(t0+100, 7, "192.0.2.0"))...)
	if a, b := all[100].says(), all[101].says(); a != "=a.example" || b != "name_unknown" {
		t.Errorf("newest %q, oldest %q", a, b)
	}
	if n := keys(t, st, "a"); n > 32 || op.Evicted() < 60 {
		t.Errorf("%d addresses kept, %d evicted", n, op.Evicted())
	}
}

func keys(t *testing.T, st *state.Memory, prefix string) (n int) {
	t.Helper()
	if err := st.Scan("h", []byte(prefix), func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNamesAreForgottenByTheHostsClock(t *testing.T) {
	st := state.NewMemory()
	op := dns.New(dns.Config{}, st)
	run(t, op, lookup(t0, 7, "a.exe", "a.example", "192.0.2.1;"), lookup(t0, 7, "a.exe", "a.example", "type:  5 b.example;"), connect(t0+4000, 7, "198.51.100.1"))
	if n := keys(t, st, ""); n != 3 {
		t.Errorf("%d keys after an hour, want 3", n)
	}
	run(t, op, connect(t0+10_000, 7, "198.51.100.1"))
	if n := keys(t, st, ""); n != 0 {
		t.Errorf("%d keys after three hours", n)
	}
}

// The mark that lets whoever holds events ask for sockets again.
func TestALookupTellsWhichAddressesItResolved(t *testing.T) {
	op := dns.New(dns.Config{}, state.NewMemory())
	var e enrich.Event
	for _, row := range []string{connect(t0, 7, "192.0.2.1"), lookup(t0, 7, "a.exe", "a.example", "192.0.2.1;::ffff:192.0.2.2;")} {
		e = enrich.Event{Row: e.Row, Host: "h"}
		if err := e.Parse([]byte(row)); err != nil {
			t.Fatal(err)
		}
		e.Lens = event.NewLenses().Find(&e.Row)
		e.Kind = e.Lens.Kind
		if err := op.OnEvent(&e, nil); err != nil {
			t.Fatal(err)
		}
		if want := map[event.Kind]string{event.Socket: "[]", event.DNS: "[192.0.2.1 192.0.2.2]"}[e.Kind]; fmt.Sprint(e.Learned.Addresses) != want {
			t.Errorf("%s: resolved %v, want %s", e.Kind, e.Learned.Addresses, want)
		}
	}
}

// Whatever the order of lookups and wherever the operator is built anew, a socket
// that is asked about after them has the same names, and asking changes nothing.
func TestTheOrderOfLookupsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names, addresses := []string{"a.example", "b.example", "c.example"}, []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}
		path := rapid.SampledFrom([]string{"a.exe", "svchost.exe"})
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			response := rapid.SampledFrom(addresses).Draw(t, "address") + ";"
			if rapid.IntRange(0, 3).Draw(t, "alias") == 0 {
				response = "type:  5 " + rapid.SampledFrom(names).Draw(t, "cname") + ";"
			}
			return lookup(t0+rapid.IntRange(0, 4).Draw(t, "at")*400, rapid.IntRange(7, 8).Draw(t, "pid"), path.Draw(t, "path"),
				rapid.SampledFrom(names).Draw(t, "name"), response) + strings.Repeat(" ", rapid.IntRange(0, 1).Draw(t, "the same again"))
		}), 0, 12).Draw(t, "lookups")
		var sockets []string
		for _, address := range addresses {
			for _, pid := range []int{7, 8, 9} {
				sockets = append(sockets, connect(t0+rapid.IntRange(0, 2000).Draw(t, "socket"), pid, address))
			}
		}
		answers := func(order []string, anew bool) string {
			st := state.NewMemory()
			op := dns.New(dns.Config{}, st)
			for _, row := range order {
				if runFrom(t, op, 1+slices.Index(rows, row), row); anew {
					op = dns.New(dns.Config{}, st)
				}
			}
			first, again := run(t, op, sockets...), run(t, op, sockets...)
			var b strings.Builder
			for i := range first {
				if first[i].says() != again[i].says() {
					t.Fatalf("%q, and asked again %q", first[i].says(), again[i].says())
				}
				fmt.Fprintln(&b, first[i].says(), first[i].Enrichment.DNS.Candidates)
			}
			return b.String()
		}
		want := answers(rows, false)
		if got := answers(rapid.Permutation(rows).Draw(t, "other order"), true); got != want {
			t.Fatalf("answers\n%s\nin another order\n%s\nof %s", want, got, strings.Join(slices.Concat(rows, sockets), "\n"))
		}
	})
}

// What is told of a socket must follow from its row and the names as they are now:
// after a restart nothing else is known.
func TestTheFirstNameOfAHostTellsItsSocketsAgain(t *testing.T) {
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{dns.New(dns.Config{}, state.NewMemory())}, nil)
	p.Wait(enrich.Waiting{}, state.NewMemory())
	var out enrich.Out
	for i, row := range []string{connect(t0, 7, "203.0.113.9"), lookup(t0+1, 7, "/bin/a", "other.example", "203.0.113.1")} {
		in := enrich.Input{Value: []byte(row), Position: enrich.Position{Topic: "rows", Offset: int64(i)}}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	var said []string
	for _, o := range out.Outputs {
		var a answered
		if err := json.Unmarshal(o.Value, &a); err != nil {
			t.Fatal(err)
		}
		if o.ID == "rows/0/0" {
			said = append(said, a.says())
		}
	}
	if want := []string{"", "name_unknown"}; !slices.Equal(said, want) {
		t.Errorf("told %q, want %q", said, want)
	}
}
