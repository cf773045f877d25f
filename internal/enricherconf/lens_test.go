package enricherconf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func load(t *testing.T, text string) (*enricherconf.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "enricher.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return enricherconf.Load(path)
}

func find(t *testing.T, lenses *event.Lenses, row string) (*event.Row, *event.Lens) {
	t.Helper()
	r := new(event.Row)
	if err := r.Parse([]byte(row)); err != nil {
		t.Fatal(err)
	}
	return r, lenses.Find(r)
}

// The page's example is taken as it is written there.
func TestTheLensOfTheDocumentationWorksAsWritten(t *testing.T) {
	page, err := os.ReadFile("../../docs/lenses.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	c, err := load(t, example)
	if err != nil {
		t.Fatal(err)
	}
	row, lens := find(t, event.NewLenses(c.CustomLenses()...),
		`{"name":"pack_a_resolver_cache","columns":{"qname":"example.com","process_id":"7","addresses":"192.0.2.1;192.0.2.2","seen_ms":"1760000000250"}}`)
	domain, _ := row.Column(lens.Column(event.Domain))
	answer, _ := row.Column(lens.Column(event.Answer))
	at, ok := lens.Time(row)
	if lens.Table != "resolver_cache" || lens.Kind != event.DNS || lens.Inventory || domain.Text() != "example.com" ||
		len(event.Answers(answer, event.Value{})) != 2 || !ok || at.UnixMilli() != 1760000000250 {
		t.Errorf("%+v, %s, time %v", lens, domain.Text(), at)
	}
	for _, other := range []string{
		`{"name":"pack_a_resolver_cache","columns":{"qname":"example.com"}}`, `{"name":"resolver_cache2","columns":{"qname":"a","process_id":"7"}}`,
	} {
		if _, lens := find(t, event.NewLenses(c.CustomLenses()...), other); lens.Table != "" {
			t.Errorf("%s is taken for %s", other, lens.Table)
		}
	}
}

func TestTheDocumentationListsEveryFieldAndTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/lenses.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(event.FieldNames(), event.NewLenses().Tables()...) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/lenses.md does not name %s", name)
		}
	}
}

func TestAUsersLensWinsOverTheBuiltInOneForItsQuery(t *testing.T) {
	c, err := load(t, `
lenses:
  - name: mine
    match: {query: "pack_mine_*"}
    kind: socket
    fields: {pid: p, remote_address: peer}
  - name: second
    match: {columns: [peer]}
    kind: socket
    fields: {remote_address: peer}
`)
	if err != nil {
		t.Fatal(err)
	}
	lenses := event.NewLenses(c.CustomLenses()...)
	for row, want := range map[string]string{
		`{"name":"pack_mine_socket_events","columns":{"pid":"1","remote_address":"192.0.2.1"}}`:            "mine",
		`{"name":"pack\/mine_socket_events","columns":{"pid":"1","remote_address":"192.0.2.1"}}`:           "socket_events",
		`{"name":"pack_other_socket_events","columns":{"pid":"1","remote_address":"192.0.2.1"}}`:           "socket_events",
		`{"name":"pack_other_socket_events","columns":{"pid":"1","remote_address":"192.0.2.1","peer":""}}`: "second",
	} {
		if _, lens := find(t, lenses, row); lens.Table != want {
			t.Errorf("%s is read as %q, want %q", row, lens.Table, want)
		}
	}
}

// Bad input: each mistake is told with its line, its key and what would be right.
func TestAWrongLensIsRefusedWithLineAndKey(t *testing.T) {
	const good = "lenses:\n  - name: mine\n    match: {query: q}\n    kind: process\n    fields: {pid: p}\n"
	if _, err := load(t, good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a field that is none": {strings.Replace(good, "{pid: p}", "{pid: p, remote_addrss: a}", 1),
			`enricher.yaml:5: lenses[0].fields.remote_addrss: no such field, did you mean "remote_address"`},
		"a column without a name": {strings.Replace(good, "{pid: p}", `{pid: ""}`, 1), "enricher.yaml:5: lenses[0].fields.pid: must name a column"},
		"a kind that is none":     {strings.Replace(good, "process", "prozess", 1), `enricher.yaml:4: lenses[0].kind: expected one of process`},
		"no kind":                 {strings.Replace(good, "    kind: process\n", "", 1), "enricher.yaml:2: lenses[0].kind: must be given"},
		"no fields":               {strings.Replace(good, "    fields: {pid: p}\n", "", 1), "lenses[0].fields: must map a field"},
		"a kind's field left out": {strings.Replace(good, "pid: p", "path: p", 1), "enricher.yaml:5: lenses[0].fields: kind process needs the field pid"},
		"every row":               {strings.Replace(good, "{query: q}", "{}", 1), "enricher.yaml:3: lenses[0].match: must say a query or columns"},
		"a column of no name":     {strings.Replace(good, "{query: q}", `{columns: [""]}`, 1), "enricher.yaml:3: lenses[0].match.columns: a column's name"},
		"a known table's name":    {strings.Replace(good, "mine", "socket_events", 1), "enricher.yaml:2: lenses[0].name: is a table that is known already"},
		"a name twice":            {good + strings.TrimPrefix(good, "lenses:\n"), `enricher.yaml:6: lenses[1].name: "mine" is the name of an earlier lens`},
		"a name with a space":     {strings.Replace(good, "mine", "my own", 1), "lenses[0].name: must be letters"},
		"an unknown key":          {strings.Replace(good, "match", "mach", 1), "enricher.yaml:3: lenses[0].mach: unknown key, did you mean \"match\""},
		"a unit that is none":     {good + "    time_unit: ns\n", "enricher.yaml:6: lenses[0].time_unit: expected one of seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
