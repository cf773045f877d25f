package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// rowsOf splits a payload and returns its records as text.
func rowsOf(t testing.TB, payload string) (*event.Rows, []string) {
	t.Helper()
	rows, err := event.SplitResult([]byte(payload))
	if err != nil {
		t.Fatalf("SplitResult(%s): %v", payload, err)
	}
	records := make([]string, 0, rows.Records())
	for i := range rows.Records() {
		records = append(records, string(rows.AppendRow([]byte("before "), i))[len("before "):])
	}
	return rows, records
}

const tail = `"name":"q","hostIdentifier":"h","calendarTime":"Mon Nov 23 10:11:20 2026 UTC","unixTime":1795428680,"epoch":0,"counter":0,"numerics":false`

func TestSplitResult(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		len           int
		snapshot      bool
		records       []string
	}{
		{
			"event form is its own row", `{` + tail + `,"columns":{"a":"1"},"action":"added"}`, 1, false,
			[]string{`{` + tail + `,"columns":{"a":"1"},"action":"added"}`},
		},
		{
			"white space around it goes, that inside stays", " \r\n{\"columns\" : { \"a\": \"1\" } , \"action\":\"added\" }\t\n", 1, false,
			[]string{"{\"columns\" : { \"a\": \"1\" } , \"action\":\"added\" }"},
		},
		{
			"snapshot in event form", `{` + tail + `,"columns":{"a":"1"},"action":"snapshot"}`, 1, false,
			[]string{`{` + tail + `,"columns":{"a":"1"},"action":"snapshot"}`},
		},
		{
			"batch form, removed rows first", `{"diffResults":{"removed":[{"a":"1"}],"added":[{"a":"2"},{"a":"3"}]},` + tail + `}`, 3, false,
			[]string{
				`{` + tail + `,"columns":{"a":"1"},"action":"removed"}`,
				`{` + tail + `,"columns":{"a":"2"},"action":"added"}`,
				`{` + tail + `,"columns":{"a":"3"},"action":"added"}`,
			},
		},
		{
			"empty first difference", `{"diffResults":{"removed":[],"added":[]},` + tail + `}`, 0, false,
			[]string{`{` + tail + `}`},
		},
		{
			"difference with one list", `{"diffResults":{"added":[{"a":"2"}]},"name":"q"}`, 1, false,
			[]string{`{"name":"q","columns":{"a":"2"},"action":"added"}`},
		},
		{
			"snapshot form", `{"snapshot":[{"a":"1"},{"a":"2"}],"action":"snapshot",` + tail + `}`, 2, true,
			[]string{
				`{` + tail + `,"columns":{"a":"1"},"action":"snapshot"}`,
				`{` + tail + `,"columns":{"a":"2"},"action":"snapshot"}`,
			},
		},
		{
			"empty snapshot", `{"snapshot":[],"action":"snapshot",` + tail + `}`, 0, true,
			[]string{`{` + tail + `,"action":"snapshot"}`},
		},
		{"nothing but an empty snapshot", `{"snapshot":[]}`, 0, true, []string{`{"action":"snapshot"}`}},
		{"nothing but an empty difference", `{"diffResults":{}}`, 0, false, []string{`{}`}},
		{"nothing but rows", `{"snapshot":[{}]}`, 1, true, []string{`{"columns":{},"action":"snapshot"}`}},
		{
			"nested decorations go with each row", `{"snapshot":[{"a":"1"},{"a":"2"}],` + tail + `,"decorations":{"uuid":"u"}}`, 2, true,
			[]string{
				`{` + tail + `,"decorations":{"uuid":"u"},"columns":{"a":"1"},"action":"snapshot"}`,
				`{` + tail + `,"decorations":{"uuid":"u"},"columns":{"a":"2"},"action":"snapshot"}`,
			},
		},
		{
			"top-level decorations go with each row", `{"diffResults":{"removed":[],"added":[{"a":"1"}]},"name":"q","uuid":"u"}`, 1, false,
			[]string{`{"name":"q","uuid":"u","columns":{"a":"1"},"action":"added"}`},
		},
		{
			"top-level decorations that bear a list's members' names", `{"snapshot":[{"a":"1"}],"action":"prod","columns":"x","diffResults":""}`, 1, true,
			[]string{`{"diffResults":"","columns":{"a":"1"},"action":"snapshot"}`},
		},
		{
			"top-level decorations that bear a list's name", `{"snapshot":"","diffResults":"x","columns":{"a":"1"},"action":"added"}`, 1, false,
			[]string{`{"snapshot":"","diffResults":"x","columns":{"a":"1"},"action":"added"}`},
		},
		{
			"numeric columns", `{"snapshot":[{"a":1,"b":-2.5e3,"c":"x"}],"numerics":true}`, 1, true,
			[]string{`{"numerics":true,"columns":{"a":1,"b":-2.5e3,"c":"x"},"action":"snapshot"}`},
		},
		{
			"AWS loggers, batch", `{"diffResults":{"removed":"","added":[{"a":"1"}]},"name":"q","unixTime":"1795428680","numerics":"false","log_type":"result"}`, 1, false,
			[]string{`{"name":"q","unixTime":"1795428680","numerics":"false","log_type":"result","columns":{"a":"1"},"action":"added"}`},
		},
		{
			"AWS loggers, empty batch", `{"diffResults":{"removed":"","added":""},"name":"q","log_type":"result"}`, 0, false,
			[]string{`{"name":"q","log_type":"result"}`},
		},
		{"AWS loggers, empty object", `{"diffResults":"","name":"q"}`, 0, false, []string{`{"name":"q"}`}},
		{
			"AWS loggers, empty snapshot", `{"snapshot":"","action":"snapshot","name":"q","log_type":"result"}`, 0, true,
			[]string{`{"name":"q","log_type":"result","action":"snapshot"}`},
		},
		{
			"AWS loggers, no columns", `{"name":"q","columns":"","action":"added"}`, 1, false,
			[]string{`{"name":"q","columns":"","action":"added"}`},
		},
		{
			"lists that a server in Go left nil", `{"diffResults":{"removed":null,"added":[{"a":"1"}]},"snapshot":null}`, 1, false,
			[]string{`{"snapshot":null,"columns":{"a":"1"},"action":"added"}`},
		},
		{
			"escaped member names", `{"sn\u0061pshot":[{"\u0061":"1"}],"\u0061ction":"snapshot"}`, 1, true,
			[]string{`{"columns":{"\u0061":"1"},"action":"snapshot"}`},
		},
		{
			"a list twice", `{"snapshot":[{"a":"1"}],"snapshot":[{"a":"2"}]}`, 2, true,
			[]string{`{"columns":{"a":"1"},"action":"snapshot"}`, `{"columns":{"a":"2"},"action":"snapshot"}`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, records := rowsOf(t, test.payload)
			if rows.Len() != test.len || rows.Snapshot() != test.snapshot {
				t.Errorf("Len %d, Snapshot %v; want %d, %v", rows.Len(), rows.Snapshot(), test.len, test.snapshot)
			}
			if got, want := strings.Join(records, "\n"), strings.Join(test.records, "\n"); got != want {
				t.Errorf("records\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSplitResultNamesItsQuery(t *testing.T) {
	for payload, want := range map[string]string{
		`{"name":"pack_a_b","columns":{}}`:               "pack_a_b",
		`{"name":"pack\/a\/b","snapshot":[]}`:            "pack/a/b",
		`{"snapshot":[{"name":"inner"}],"name":"outer"}`: "outer",
		`{"columns":{"name":"inner"}}`:                   "",
		`{"name":null,"columns":{}}`:                     "",
	} {
		if rows, _ := rowsOf(t, payload); rows.Query() != want {
			t.Errorf("query of %s is %q, want %q", payload, rows.Query(), want)
		}
	}
}

func TestSplitResultRefuses(t *testing.T) {
	var syntax *event.SyntaxError
	for _, test := range []struct {
		name, payload string
		offset        int
		is            error
	}{
		{"nothing", "", 0, nil},
		{"white space", " \n", 2, nil},
		{"text", "osqueryd", 0, nil},
		{"an array", `[{"columns":{}}]`, 0, nil},
		{"NUL", "\x00", 0, nil},
		{"half a row", `{"columns":{"a":"1"`, 19, nil},
		{"two rows", `{"columns":{}}{"columns":{}}`, 14, nil},
		{"a comma too many", `{"columns":{},}`, 14, nil},
		{"no comma", `{"columns":{} "action":"added"}`, 14, nil},
		{"no colon", `{"columns"{}}`, 10, nil},
		{"unknown escape", `{"columns":{"a":"\x41"}}`, 18, nil},
		{"a row that is none", `{"snapshot":["a"]}`, 13, nil},
		{"rows that are none", `{"diffResults":{"added":5}}`, 25, nil},
		{"no form", `{"name":"q","action":"added"}`, 0, event.ErrForm},
		{"an empty object", `{}`, 0, event.ErrForm},
		{"a status line", `{"hostIdentifier":"h","severity":0,"message":"m"}`, 0, event.ErrForm},
		{"a decoration in the place of the rows", `{"snapshot":"prod","name":"q"}`, 0, event.ErrForm},
		{"deep nesting", `{"columns":{"a":` + strings.Repeat("[", 100_000), 16 + 512, event.ErrDepth},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, err := event.SplitResult([]byte(test.payload))
			if rows != nil || !errors.As(err, &syntax) {
				t.Fatalf("got %v, %v; want a SyntaxError", rows, err)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %v is not %v", err, test.is)
			}
			if syntax.Offset != test.offset {
				t.Errorf("error %q at byte %d, want %d", err, syntax.Offset, test.offset)
			}
		})
	}
}

func TestNestingToTheLimit(t *testing.T) {
	nested := func(n int) string {
		return `{"columns":` + strings.Repeat(`{"a":`, n-1) + `{}` + strings.Repeat(`}`, n-1) + `}`
	}
	_, records := rowsOf(t, nested(512))
	var row event.Row
	if err := row.Parse([]byte(records[0])); err != nil {
		t.Errorf("what SplitResult takes, Parse refuses: %v", err)
	}
	if _, err := event.SplitResult([]byte(nested(514))); !errors.Is(err, event.ErrDepth) {
		t.Errorf("514 levels: %v, want ErrDepth", err)
	}
}

func TestSplitLines(t *testing.T) {
	lines, err := event.SplitLines([]byte(` [ "{\"columns\":{\"a\":\"\\u00e9\\/\"}}" , "no json", "", "\ud83d\ude00\ud83d" ] `))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"columns":{"a":"\u00e9\/"}}`, "no json", "", "😀\ufffd"}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		if string(line) != want[i] {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
	for _, bad := range []string{"", "{}", `["a"`, `["a",]`, `[{}]`, `[1]`, `["a"]x`, `["\uD8"]`} {
		if lines, err := event.SplitLines([]byte(bad)); err == nil {
			t.Errorf("SplitLines(%s) = %q, want an error", bad, lines)
		}
	}
	if lines, err := event.SplitLines([]byte("[]")); len(lines) != 0 || err != nil {
		t.Errorf("an empty batch: %q, %v", lines, err)
	}
}
