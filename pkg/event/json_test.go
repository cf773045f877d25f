package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// space, jsonString, jsonNumber and jsonValue draw JSON text as odd as the
// grammar allows.
func space() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r", "        "})
}

func jsonString() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{
		"a", "columns", "delivery", "name", " ", "{", "]", "/", "\x7f", "é", "漢", "😀", "\ufffd", "eight by", "sixteen bytes of it",
		`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0000`, `\u001F`, `\u00e9`, `\u0061`, `\ud83d\ude00`, `\uD83D`, `\uDE00`, `\ud83d\u0041`,
	})
	return rapid.Map(rapid.SliceOfN(piece, 0, 6), func(pieces []string) string { return `"` + strings.Join(pieces, "") + `"` })
}

func jsonNumber() *rapid.Generator[string] {
	return rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?`)
}

func jsonValue(depth int) *rapid.Generator[string] {
	scalar := rapid.OneOf(jsonString(), jsonNumber(), rapid.SampledFrom([]string{"true", "false", "null"}))
	if depth == 0 {
		return scalar
	}
	return rapid.OneOf(scalar, jsonObject(depth-1), rapid.Custom(func(t *rapid.T) string {
		return "[" + joined(t, rapid.SliceOfN(jsonValue(depth-1), 0, 4).Draw(t, "elements")) + "]"
	}))
}

func jsonObject(depth int) *rapid.Generator[string] {
	member := rapid.Custom(func(t *rapid.T) string {
		return jsonString().Draw(t, "name") + space().Draw(t, "space") + ":" + space().Draw(t, "space") + jsonValue(depth).Draw(t, "value")
	})
	return rapid.Custom(func(t *rapid.T) string {
		return "{" + joined(t, rapid.SliceOfN(member, 0, 5).Draw(t, "members")) + "}"
	})
}

func joined(t *rapid.T, parts []string) string {
	s := space().Draw(t, "space")
	return s + strings.Join(parts, s+","+s) + s
}

// broken changes a few bytes of a text, so that most of what comes out is almost
// JSON.
func broken(t *rapid.T, text string) string {
	noise := rapid.SampledFrom([]string{
		"", "{", "}", "[", "]", ",", ":", `"`, `\`, "0", "-", ".", "e", "+", "u", "t", "null", "tru", " ", "\x00", "\x1f", "\n", "\x7f", "\xff", "\xc3", "é", `"":`, "//",
	})
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		cut := rapid.IntRange(0, min(3, len(text)-at)).Draw(t, "cut")
		text = text[:at] + noise.Draw(t, "noise") + text[at+cut:]
	}
	return text
}

// checkVerdict holds Parse to encoding/json: both take a text or both refuse
// it, but that Parse wants an object, follows 512 levels in it, and takes
// control bytes in strings, which it reports as Dirty and AppendMended mends.
func checkVerdict(t failer, text []byte) {
	t.Helper()
	var row event.Row
	err := row.Parse(text)
	valid := json.Valid(text)
	object := bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	switch {
	case errors.Is(err, event.ErrDepth):
	case err != nil && valid && object:
		t.Fatalf("refused (%v), but JSON: %q", err, text)
	case err == nil && row.Dirty == (valid && utf8.Valid(text)):
		t.Fatalf("Dirty %v, but JSON %v: %q", row.Dirty, valid, text)
	case err == nil && row.Dirty:
		if mended := event.AppendMended(nil, row.Raw); !json.Valid(mended) || !utf8.Valid(mended) {
			t.Fatalf("mended to no JSON: %q", mended)
		}
	}
}

func TestVerdictIsThatOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(jsonObject(4), jsonValue(1)).Draw(t, "text")
		if !json.Valid([]byte(text)) {
			t.Fatalf("the generator made no JSON: %s", text)
		}
		checkVerdict(t, []byte(space().Draw(t, "space")+text))
		checkVerdict(t, []byte(broken(t, text)))
	})
}

// checkColumns holds a row's columns to what encoding/json reads of them.
func checkColumns(t failer, row *event.Row, columns []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	if err := json.Unmarshal(columns, &want); err != nil {
		t.Fatalf("columns are no JSON: %v", err)
	}
	for name, raw := range want {
		v, ok := row.Column(name)
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		if !ok || v.Text() != text || string(v.AppendText(nil)) != text {
			t.Fatalf("column %q is %q, %v, want %q, of %s", name, v.Text(), ok, text, columns)
		}
	}
	for _, c := range row.Columns {
		if _, ok := want[string(c.Name)]; !ok {
			t.Fatalf("column %q is not in %s", c.Name, columns)
		}
	}
}

func TestColumnsAreVerbatimInEveryForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(jsonObject(2), 1, 4).Draw(t, "rows")
		s, other := space().Draw(t, "space"), jsonValue(2).Draw(t, "other")
		event := `{"name":"q","columns":` + s + lists[0] + s + `,"other":` + other + `}`
		batch := `{"diffResults":{"removed":[` + lists[0] + `],"added":[` + strings.Join(lists[1:], s+","+s) + `]},` + s + `"other":` + other + `}`
		snapshot := `{"other":` + other + `,"snapshot":[` + strings.Join(lists, ",") + `]}`
		checkVerbatim(t, event, lists[:1], other)
		checkVerbatim(t, batch, lists, other)
		checkVerbatim(t, snapshot, lists, other)
	})
}

func checkVerbatim(t *rapid.T, payload string, lists []string, other string) {
	rows, err := event.SplitResult([]byte(payload))
	if err != nil || rows.Len() != len(lists) {
		t.Fatalf("SplitResult(%s): %v, %v", payload, rows, err)
	}
	for i, columns := range lists {
		record := rows.AppendRow(nil, i)
		var got struct{ Columns, Other json.RawMessage }
		if err := json.Unmarshal(record, &got); err != nil || string(got.Columns) != columns || string(got.Other) != other {
			t.Fatalf("row %d of %s is %s (%v)", i, payload, record, err)
		}
		var row event.Row
		if err := row.Parse(record); err != nil || !row.HasColumns {
			t.Fatalf("Parse(%s): %v", record, err)
		}
		checkColumns(t, &row, got.Columns)
	}
}

func TestDeliveryRoundTrip(t *testing.T) {
	hex := rapid.StringMatching(`[0-9a-f]{16}`)
	var row event.Row // reused, as the enricher does
	rapid.Check(t, func(t *rapid.T) {
		want := event.Delivery{
			Agent: rapid.SampledFrom([]string{"6f1c9b1e-7d5c-4c55-9d6e-000000000001", "6f1c9b1e-7d5c-4c55-9d6e-000000000002"}).Draw(t, "agent"),
			Run:   hex.Draw(t, "run"), Seq: rapid.Uint64().Draw(t, "seq"),
			Row: rapid.IntRange(0, 1<<40).Draw(t, "row"), Rows: rapid.IntRange(0, 1<<40).Draw(t, "rows"),
			Spooled: time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "ms")).UTC(),
		}
		if rapid.Bool().Draw(t, "has prev") {
			want.Prev = fmt.Sprintf("%s/%d", hex.Draw(t, "prev run"), rapid.Uint64().Draw(t, "prev seq"))
		}
		plain := jsonObject(2).Draw(t, "row text")
		record := event.AppendDelivery([]byte(plain), &want)
		if !json.Valid(record) || !bytes.HasPrefix(record, []byte(plain[:len(plain)-1])) {
			t.Fatalf("not the row and one more member: %s", record)
		}
		if err := row.Parse(record); err != nil {
			t.Fatalf("Parse(%s): %v", record, err)
		}
		if !row.Delivered || row.Delivery != want {
			t.Fatalf("read %+v, want %+v", row.Delivery, want)
		}
	})
}

func TestAppendStringIsThatOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkString(t, rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text"))
	})
}

// checkString checks that AppendString says what encoding/json says, though not
// always in the same bytes: encoding/json escapes for HTML too.
func checkString(t failer, text string) {
	t.Helper()
	got := event.AppendString([]byte("+"), text)[1:]
	var back, want string
	marshalled, err := json.Marshal(text)
	if err == nil {
		err = errors.Join(json.Unmarshal(marshalled, &want), json.Unmarshal(got, &back))
	}
	if err != nil || back != want || !utf8.Valid(got) {
		t.Fatalf("AppendString(%q) is %s, which reads as %q, want %q (%v)", text, got, back, want, err)
	}
}
