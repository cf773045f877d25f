package route_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/route"
	"github.com/stackjoin/stackjoin/internal/testdata"
)

func compile(t testing.TB, delimiter string, rules ...route.Rule) *route.Table {
	t.Helper()
	table, err := route.Compile(rules, delimiter)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// topic is where a call goes; "-" is the default stream.
func topic(table *route.Table, typ byte, payload string) string {
	name, ok := table.Stream(typ, []byte(payload))
	if !ok {
		return "-"
	}
	return name
}

func named(name string) string {
	return `{"name":"` + name + `","hostIdentifier":"h","decorations":{"role":"web","env":"prod"},"columns":{"name":"column","a":"b"},"action":"added"}`
}

func TestTheFirstMatchingRuleWins(t *testing.T) {
	table := compile(t, "_",
		route.Rule{Query: "pack_it_*", Kind: "snapshot", Topic: "it.snapshots"},
		route.Rule{Query: "*_events", Topic: "events"},
		route.Rule{Pack: "it", Topic: "it"},
		route.Rule{Pack: "web?prod", Decorations: map[string]string{"role": "web*"}, Topic: "web"},
		route.Rule{Decorations: map[string]string{"role": "db", "env": "p*"}, Topic: "db"},
		route.Rule{Kind: "status", Topic: "status"},
	)
	snapshot := func(name string) string {
		return `{"snapshot":[{"name":"x_events"}],"action":"snapshot","name":"` + name + `","decorations":{"role":"db","env":"prod"}}`
	}
	for _, c := range []struct {
		typ           byte
		payload, want string
	}{
		{extension.TypeString, named("socket_events"), "events"},
		{extension.TypeString, named("pack_it_process_events"), "events"},
		{extension.TypeString, named("pack_it_users"), "it"},
		{extension.TypeString, named("pack_it"), "-"},
		{extension.TypeString, named("packs_it_users"), "-"},
		{extension.TypeString, named("pack_item_users"), "-"},
		{extension.TypeString, named("pack_web_prod_users"), "web"},
		{extension.TypeString, named("pack_web/prod_users"), "web"},
		{extension.TypeString, named(`socket\u005fevents`), "events"},
		{extension.TypeString, strings.Replace(named("a"), `"web"`, `"db"`, 1), "db"},
		{extension.TypeString, `{"name":"a","role":"db","env":"prod","columns":{}}`, "db"},
		{extension.TypeString, `{"name":"a","role":"db","columns":{"env":"prod"}}`, "-"},
		{extension.TypeSnapshot, snapshot("pack_it_users"), "it.snapshots"},
		{extension.TypeSnapshot, snapshot("users"), "db"},
		{extension.TypeSnapshot, snapshot("x_events"), "events"},
		{extension.TypeStringBatch, `["{\"name\":\"x_events\",\"columns\":{}}","{\"name\":\"pack_it_a\"}"]`, "events"},
		{extension.TypeStringBatch, `[]`, "-"},
		{extension.TypeStatus, `[{"s":0,"m":"x","name":"x_events"}]`, "status"},
		{extension.TypeEvent, `{"name":"x_events","time":"1"}`, "-"},
		{extension.TypeUnknown, `{"name":"x_events"}`, "-"},
		{extension.TypeString, ``, "-"}, {extension.TypeString, `osqueryd`, "-"}, {extension.TypeString, `{"name":7}`, "-"},
	} {
		if got := topic(table, c.typ, c.payload); got != c.want {
			t.Errorf("%c %s\ngoes to %s, want %s", c.typ, c.payload, got, c.want)
		}
	}
}

func TestNoRuleMeansTheDefaultStream(t *testing.T) {
	if got := topic(compile(t, "_"), extension.TypeString, named("a")); got != "-" {
		t.Errorf("goes to %s", got)
	}
}

// Fleet uses a slash; a pack's name may itself hold the delimiter.
func TestThePackDelimiterCanBeChosen(t *testing.T) {
	table := compile(t, "/", route.Rule{Pack: "Global", Topic: "global"}, route.Rule{Pack: "team-1/sub", Topic: "sub"}, route.Rule{Pack: "team-*", Topic: "team"})
	for name, want := range map[string]string{
		"pack/Global/users": "global", "pack/team-1/sub/users": "sub", "pack/team-1/users": "team", "pack_Global_users": "-",
		"pack/Global": "-", "pack/Globals/users": "-",
	} {
		if got := topic(table, extension.TypeString, named(name)); got != want {
			t.Errorf("%s goes to %s, want %s", name, got, want)
		}
	}
}

func TestABareRowOfAnEventTableHasAKindOnly(t *testing.T) {
	table := compile(t, "_", route.Rule{Query: "*", Topic: "named"}, route.Rule{Kind: "result", Topic: "results"})
	for typ, want := range map[byte]string{
		extension.TypeEvent: "results", extension.TypeString: "named", extension.TypeStatus: "-", extension.TypeUnknown: "-",
	} {
		if got := topic(table, typ, `{"name":"a","columns":{}}`); got != want {
			t.Errorf("%c goes to %s, want %s", typ, got, want)
		}
	}
}

func TestAWrongRuleIsToldByItsPlace(t *testing.T) {
	good := route.Rule{Query: "a", Topic: "t"}
	for want, rules := range map[string][]route.Rule{
		"routes[1].topic: must name":     {good, {Query: "a"}},
		"routes[0].topic: must be at":    {{Query: "a", Topic: "no spaces"}},
		"routes[0].kind: at least":       {{Topic: "t"}},
		"routes[0].kind: status lines":   {{Query: "a", Kind: "status", Topic: "t"}},
		"routes[2].kind: must be result": {good, good, {Kind: "diff", Topic: "t"}},
	} {
		if _, err := route.Compile(rules, "_"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v is %v, want %s", rules, err, want)
		}
	}
	for _, delimiter := range []string{"", "*"} {
		if _, err := route.Compile(nil, delimiter); err == nil {
			t.Errorf("delimiter %q is taken", delimiter)
		}
	}
}

// What osqueryd really wrote goes where its name, read in full, says.
func TestLinesThatOsquerydWroteAreRoutedByTheirName(t *testing.T) {
	table := compile(t, "_", route.Rule{Query: "*", Topic: "named"})
	files, err := filepath.Glob(filepath.Join(testdata.Dir(t), "osquery", "captured", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captured lines", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
			var call struct{ Type, Log string }
			if err := json.Unmarshal(line, &call); err != nil {
				t.Fatal(err)
			}
			if want := map[string]string{"string": "named", "snapshot": "named"}[call.Type]; want != "" && topic(table, extension.TypeString, call.Log) != want {
				t.Errorf("%s: %s goes to the default", file, call.Log)
			}
		}
	}
}

// A call of half a gigabyte is not walked: the rows may hold what is no JSON.
func TestRowsAreNotReadForTheirName(t *testing.T) {
	table := compile(t, "_", route.Rule{Query: "users", Topic: "users"})
	for _, payload := range []string{
		`{"snapshot":[{"a":` + "\x00" + `}],"action":"snapshot","name":"users","hostIdentifier":"h"}`,
		`{"diffResults":{"added":[nonsense]},"name":"users"}`,
		`{"name":"users","hostIdentifier":"h","columns":{"a":` + "\x00",
	} {
		if got := topic(table, extension.TypeString, payload); got != "users" {
			t.Errorf("%q goes to %s: its rows were read", payload, got)
		}
	}
}

func TestRoutingAllocatesNothing(t *testing.T) {
	table := compile(t, "_", route.Rule{Query: "no*", Topic: "a"}, route.Rule{Pack: "no", Topic: "b"}, route.Rule{Decorations: map[string]string{"role": "db"}, Topic: "c"})
	row, list := []byte(named("socket_events")), []byte(`{"snapshot":[{"a":"b"}],"name":"users","decorations":{"role":"web"}}`)
	if n := testing.AllocsPerRun(100, func() {
		table.Stream(extension.TypeString, row)
		table.Stream(extension.TypeSnapshot, list)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No payload of any type fails, and a table that matches everything but what it
// cannot read never names a topic of its own making.
func TestAnyPayloadGoesSomewhere(t *testing.T) {
	table := compile(t, "_", route.Rule{Query: "*", Topic: "named"})
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]byte("SBNLEU?")).Draw(t, "type")
		name, ok := table.Stream(typ, rapid.SliceOf(rapid.SampledFrom([]byte(`{}[]",:\nameu09 `))).Draw(t, "payload"))
		if ok != (name == "named") {
			t.Fatalf("goes to %q, %v", name, ok)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	table := compile(b, "_", route.Rule{Query: "no*", Topic: "a"}, route.Rule{Pack: "no", Topic: "b"}, route.Rule{Decorations: map[string]string{"role": "db"}, Topic: "c"})
	big := []byte(`{"snapshot":[{"a":"` + strings.Repeat("x", 64<<20) + `"}],"action":"snapshot","name":"users","hostIdentifier":"h","unixTime":1,"decorations":{"role":"web"}}`)
	for name, payload := range map[string][]byte{"row": []byte(named("socket_events")), "snapshot of 64 MiB": big} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Stream(extension.TypeString, payload)
			}
		})
	}
}
