package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// failer is what testing.TB and rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// original checks that a record is what JSON allows and says that it was mended,
// and returns what it carries as the original.
func original(t failer, record []byte) []byte {
	t.Helper()
	var said struct {
		Escaped bool
		Raw     []byte
	}
	if err := json.Unmarshal(record, &said); err != nil || !utf8.Valid(record) || !said.Escaped {
		t.Fatalf("not a mended record (%v): %q", err, record)
	}
	return said.Raw
}

func TestMending(t *testing.T) {
	const bad = "{\"columns\":{\"k\xc3\":\"a\x00b\nc\xff\xe2\x82d\x7f\\\\\\\"é😀\"},\"action\":\"added\"}"
	_, records := rowsOf(t, bad)
	const want = `{"columns":{"k\\xc3":"a\u0000b\nc\\xff\\xe2\\x82d` + "\x7f" + `\\\"é😀"},"action":"added",`
	if !strings.HasPrefix(records[0], want) {
		t.Errorf("mended to\n%s\nwant\n%s", records[0], want)
	}
	if got := string(original(t, []byte(records[0]))); got != bad {
		t.Errorf("original is %q, want %q", got, bad)
	}
}

func TestMendingLeavesGoodRowsAlone(t *testing.T) {
	_, records := rowsOf(t, "{\"snapshot\":[{\"a\":\"\xff\"},{\"a\":\"é\"}],\"name\":\"q\"}")
	if got, want := string(original(t, []byte(records[0]))), "{\"name\":\"q\",\"columns\":{\"a\":\"\xff\"},\"action\":\"snapshot\"}"; got != want {
		t.Errorf("original of the bad row is %q, want %q", got, want)
	}
	if got, want := records[1], `{"name":"q","columns":{"a":"é"},"action":"snapshot"}`; got != want {
		t.Errorf("the good row is %q, want %q", got, want)
	}
}

func TestMendedRowTakesDelivery(t *testing.T) {
	_, records := rowsOf(t, "{\"columns\":{\"a\":\"\x01\"}}")
	d := event.Delivery{Agent: "a", Run: "r", Seq: 1, Rows: 1}
	row := parse(t, string(event.AppendDelivery([]byte(records[0]), &d)))
	if v, _ := row.Column("a"); v.Text() != "\x01" || row.Dirty || !row.Delivered {
		t.Errorf("column is %q, Dirty %v, Delivered %v", v.Text(), row.Dirty, row.Delivered)
	}
}

// dirtyText draws the inside of a JSON string that holds any bytes.
func dirtyText() *rapid.Generator[string] {
	bytes := rapid.Custom(func(t *rapid.T) string {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		return strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(string(text))
	})
	return rapid.OneOf(bytes, rapid.StringOfN(rapid.RuneFrom([]rune("aé\x00\x1f\n\x7f😀")), 0, 20, -1))
}

func TestMendingIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, text := dirtyText().Draw(t, "name"), dirtyText().Draw(t, "text")
		columns := `{"` + name + `":"` + text + `","z":"good"}`
		rows, err := event.SplitResult([]byte(`{"snapshot":[` + columns + `],"name":"q"}`))
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		record, plain := rows.AppendRow(nil, 0), `{"name":"q","columns":`+columns+`,"action":"snapshot"}`
		if utf8.ValidString(columns) && json.Valid([]byte(columns)) {
			if string(record) != plain {
				t.Fatalf("a good row became %s", record)
			}
			return
		}
		if got := original(t, record); string(got) != plain {
			t.Fatalf("original of %s is %q, want %q", record, got, plain)
		}
		checkForeign(t, plain, record)
	})
}

// checkForeign checks that a bad row that others shipped is mended alike.
func checkForeign(t failer, plain string, want []byte) {
	t.Helper()
	var row event.Row
	if err := row.Parse([]byte(plain)); err != nil || !row.Dirty {
		t.Fatalf("Parse: %v, Dirty %v", err, row.Dirty)
	}
	if got := event.AppendMended(nil, row.Raw); string(got) != string(want) {
		t.Fatalf("AppendMended gives %s, AppendRow %s", got, want)
	}
	if err := row.Parse(want); err != nil || row.Dirty {
		t.Fatalf("what was mended: %v, Dirty %v", err, row.Dirty)
	}
}
