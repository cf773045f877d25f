package peek_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/peek"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// envelope reads the name and two decorations as texts; "-" is absent.
func envelope(payload string) string {
	e := peek.Envelope{Decorations: []string{"role", "hostIdentifier"}, Values: make([]event.Value, 2)}
	e.Read([]byte(payload))
	texts := make([]string, 0, 3)
	for _, v := range append([]event.Value{e.Name}, e.Values...) {
		text := v.Text()
		if v.Raw == nil {
			text = "-"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

const (
	rows = `[{"name":"no","x":"]}\\\"],\"name\":\"fake\",{["},{"decorations":{"role":"no"}}]`
	tail = `"name":"q","hostIdentifier":"h","calendarTime":"c","unixTime":1,"counter":0,"numerics":false`
)

func TestTheEnvelopeIsReadInEveryForm(t *testing.T) {
	for payload, want := range map[string]string{
		`{` + tail + `,"decorations":{"role":"web"},"columns":{"name":"no","role":"no"},"action":"added"}`:         "q web h",
		`{` + tail + `,"role":"web","columns":{"name":"no","role":"no"},"action":"added"}`:                         "q web h",
		`{"columns":{"name":"no","role":"no"},"decorations":{"role":"web"},` + tail + `}`:                          "q web h",
		`{"snapshot":` + rows + `,"action":"snapshot",` + tail + `,"decorations":{"role":"web"}}`:                  "q web h",
		` { "snapshot" : ` + rows + ` , "action" : "snapshot", ` + tail + ` , "role" : "a\u0062" } `:               "q ab h",
		`{"diffResults":{"removed":` + rows + `,"added":[]},` + tail + `,"decorations":{"hostIdentifier":"over"}}`: "q - over",
		`{"diffResults":{"removed":"","added":""},"name":"a\\\"b","log_type":"result"}`:                            `a\"b - -`,
		`{"snapshot":[],"n\u0061me":"q","role":""}`:                                                                "q  -",
		`{"snapshot":[],"name":"q","role":7}`:                                                                      "q 7 -",
		`{"snapshot":[]}`:                                                                                          "- - -", `{"name":7,"columns":{}}`: "- - -", `{}`: "- - -", ``: "- - -", `[]`: "- - -",
		`osqueryd`: "- - -", `{"snapshot":[{"a":"b"}],"name":"q`: "- - -", `{"snapshot":"name":"a\x"}`: "- - -",
		`{"name":"early","columns":{"a":`: "early - -", `{"hostIdentifier":"h",` + rows: "- - h",
	} {
		if got := envelope(payload); got != want {
			t.Errorf("%s\nis %q, want %q", payload, got, want)
		}
	}
}

// value draws any JSON value that is no envelope by itself.
func value() *rapid.Generator[any] {
	text := rapid.StringOf(rapid.SampledFrom([]rune("ab\"\\[]{}:, \n\u00e9\u4e16")))
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return rapid.IntRange(-9, 9).Draw(t, "number")
		case 1:
			return rapid.SliceOfN(text, 0, 3).Draw(t, "list")
		case 2:
			return rapid.MapOfN(text, text, 0, 3).Draw(t, "object")
		case 3:
			return nil
		}
		return text.Draw(t, "text")
	})
}

// Reading from the end finds what reading the whole finds, whatever the strings
// hold.
func TestReadingFromTheEndFindsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		write := func(name string, v any) {
			text, _ := json.Marshal(v)
			fmt.Fprintf(&b, `,%q:%s`, name, text)
		}
		name := value().Draw(t, "name")
		write("snapshot", []any{map[string]any{"name": value().Draw(t, "row"), "decorations": value().Draw(t, "row decorations")}})
		for i := range rapid.IntRange(0, 3).Draw(t, "others") {
			write(fmt.Sprintf("other%d", i), value().Draw(t, "other"))
		}
		write("name", name)
		want := "-"
		if text, ok := name.(string); ok {
			want = text
		}
		decorations := rapid.MapOf(rapid.SampledFrom([]string{"role", "x"}), rapid.StringMatching(`[a-z"\\]*`)).Draw(t, "decorations")
		write("decorations", decorations)
		role, ok := decorations["role"]
		if !ok {
			role = "-"
		}
		payload := "{" + b.String()[1:] + "}"
		if got := envelope(payload); got != want+" "+role+" -" {
			t.Fatalf("%s\nis %q, want %q and %q", payload, got, want, role)
		}
	})
}

func TestTheFirstLineOfABatchIsItsText(t *testing.T) {
	for payload, want := range map[string]string{
		`["{\"name\":\"a\"}","x"]`: `{"name":"a"}`, ` [ "plain" , 1`: "plain", `[""]`: "",
	} {
		if line, ok := peek.FirstLine([]byte(payload)); !ok || string(line) != want {
			t.Errorf("%s is %q, %v", payload, line, ok)
		}
	}
	for _, payload := range []string{`[]`, `[1]`, `["a`, `{}`, ``} {
		if line, ok := peek.FirstLine([]byte(payload)); ok {
			t.Errorf("%s has a line %q", payload, line)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{
		`{` + tail + `,"decorations":{"role":"web"},"columns":{"a":"b"}}`, `{"snapshot":` + rows + `,` + tail + `}`,
		`{"diffResults":{"added":[]},"name":"q","decorations":{"role":"\ud800"}}`, `{"snapshot":"\\"}`, `{"snapshot":[}`, `["a"]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := read(payload)
		if text := string(e.Name.AppendText(nil)); text != e.Name.Text() {
			t.Fatalf("name reads as %q and %q", text, e.Name.Text())
		}
		_ = e.Values[0].AppendText(nil)
		if line, ok := peek.FirstLine(payload); ok {
			read(line)
		}
	})
}

func read(payload []byte) *peek.Envelope {
	e := &peek.Envelope{Decorations: []string{"role"}, Values: make([]event.Value, 1)}
	e.Read(payload)
	return e
}
