package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// seeds are results in every form, and near misses.
func seeds(f *testing.F) {
	for _, s := range []string{
		socketRow, batch(2),
		`{"snapshot":[{"a":"1"},{"a":2}],"action":"snapshot","name":"q","decorations":{"u":"v"}}`,
		`{"snapshot":[],"action":"snapshot","name":"q"}`, `{"diffResults":{"removed":"","added":""},"log_type":"result"}`,
		`{"snapshot":"","diffResults":"x","columns":{"a":"1"}}`, "{\"snapshot\":[{\"a\":\"\xff\x00\"},{\"b\":\"good\"}]}",
		`{"columns":{"a":"\ud83d\ude00\ud83d\u0041\/"},"c\u006flumns":{},"a":[1,-0.5e+3,true,null,{}]}`,
		`{"columns":` + strings.Repeat(`{"a":[`, 300), "{ \t\r\n}", "", "osqueryd", `[{}]`, `{"a":01}`, `{"a":tru}`,
	} {
		f.Add([]byte(s))
	}
}

func FuzzSplitResult(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		rows, err := event.SplitResult(payload)
		if err != nil {
			checkRefused(t, payload, err)
			return
		}
		var row event.Row
		for i := range rows.Records() {
			record := rows.AppendRow(nil, i)
			if !json.Valid(record) || !utf8.Valid(record) {
				t.Fatalf("record %d is no JSON: %q", i, record)
			}
			if again := rows.AppendRow(nil, i); !bytes.Equal(again, record) {
				t.Fatalf("record %d is %q and then %q", i, record, again)
			}
			if err := row.Parse(event.AppendDelivery(record, &event.Delivery{Row: i, Rows: rows.Len()})); err != nil {
				t.Fatalf("record %d: %v: %q", i, err, record)
			}
			if row.Dirty || !row.Delivered || row.Delivery.Row != i {
				t.Fatalf("record %d reads as %+v", i, row.Delivery)
			}
		}
		if !bytes.Equal(payload, before) {
			t.Fatal("the payload changed")
		}
	})
}

func checkRefused(t *testing.T, payload []byte, err error) {
	t.Helper()
	var syntax *event.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(payload) {
		t.Fatalf("error %v is no place in %d bytes", err, len(payload))
	}
	if errors.Is(err, event.ErrForm) || errors.Is(err, event.ErrDepth) {
		return
	}
	var form struct {
		DiffResults map[string]json.RawMessage
		Snapshot    []map[string]json.RawMessage
	}
	if json.Unmarshal(payload, &form) == nil && len(form.DiffResults) == 0 && form.Snapshot == nil && payload[0] == '{' {
		t.Fatalf("refused (%v), but JSON: %q", err, payload)
	}
}

func FuzzRowParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkVerdict(t, raw)
		var row event.Row
		if row.Parse(raw) != nil || row.Dirty || !row.HasColumns {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		checkColumns(t, &row, members["columns"])
	})
}

func FuzzSplitStatus(f *testing.F) {
	for _, s := range []string{
		`[{"s":1,"f":"a.cpp","i":12,"m":"said \"no\"","h":"vm","c":"Mon Nov 23 10:11:18 2026 UTC","u":1795428678},{"m":"x"}]`,
		"[]", "[{}]", "[{\"m\":\"\xff\"}]", "[{\"m\":\"a\x01\",\"s\":{}}]", `[{"s":1`, `[null]`, "osqueryd",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		rows, err := event.SplitStatus(payload)
		if err != nil {
			var list []map[string]json.RawMessage
			if json.Unmarshal(payload, &list) == nil && !errors.Is(err, event.ErrDepth) && !bytes.Contains(payload, []byte("null")) {
				t.Fatalf("refused (%v), but JSON: %q", err, payload)
			}
			return
		}
		for i := range rows.Len() {
			if record := rows.AppendRow(nil, i, "5.23.1"); !json.Valid(record) || !utf8.Valid(record) {
				t.Fatalf("line %d is no JSON: %q", i, record)
			}
		}
	})
}

func FuzzSplitLines(f *testing.F) {
	for _, s := range []string{
		`["{\"columns\":{}}","no json",""]`, "[]", `["\ud83d\ude00\ud83d","\u0000\/"]`, "[\"\xff\x00\"]", `["a",]`, `[1]`, `["a"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := event.SplitLines(payload)
		var want []string
		reference := json.Unmarshal(payload, &want)
		switch {
		case bytes.Contains(payload, []byte("null")): // encoding/json reads null as an empty string
		case err != nil && reference == nil:
			t.Fatalf("refused (%v), but JSON: %q", err, payload)
		case err == nil && reference == nil && utf8.Valid(payload):
			checkLines(t, got, want)
		}
	})
}

func checkLines(t *testing.T, got [][]byte, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range got {
		if string(got[i]) != want[i] {
			t.Fatalf("line %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é漢😀\u2028", "\xff\xc3\xe2\x82", "<script>&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkString(t, text) })
}
