package event_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

func parse(t testing.TB, raw string) *event.Row {
	t.Helper()
	row := new(event.Row)
	if err := row.Parse([]byte(raw)); err != nil {
		t.Fatalf("Parse(%s): %v", raw, err)
	}
	return row
}

func TestRowParse(t *testing.T) {
	row := parse(t, " "+`{"name":"pack\/p\/q","hostIdentifier":"h","calendarTime":"Mon","unixTime":"1795428680","epoch":0,`+
		`"numerics":false,"log_type":"result","decorations":{"uuid":"u"},"columns":{"a":"x\ty","b":-5,"c":null,"d":{"e":[1]},"f":true},"action":"added"}`+"\n")
	for _, test := range []struct {
		what string
		v    event.Value
		want string
	}{
		{"Query", row.Query, "pack/p/q"},
		{"HostIdentifier", row.HostIdentifier, "h"},
		{"Action", row.Action, "added"},
		{"UnixTime", row.UnixTime, "1795428680"},
		{"Numerics", row.Numerics, "false"},
		{"Severity", row.Severity, ""},
		{"Kind", row.Kind, ""},
	} {
		if got := test.v.Text(); got != test.want {
			t.Errorf("%s is %q, want %q", test.what, got, test.want)
		}
	}
	for name, want := range map[string]string{"a": "x\ty", "b": "-5", "c": "", "d": `{"e":[1]}`, "f": "true"} {
		v, ok := row.Column(name)
		if got := string(v.AppendText([]byte("+"))); !ok || got != "+"+want || v.Text() != want {
			t.Errorf("column %s is %q, %v, want %q", name, got, ok, want)
		}
	}
	if _, ok := row.Column("action"); ok {
		t.Error("a member of the row is taken for a column")
	}
	if !row.HasColumns || row.Delivered || row.Dirty || row.Raw[0] != '{' || row.Raw[len(row.Raw)-1] != '}' {
		t.Errorf("HasColumns %v, Delivered %v, Dirty %v, Raw %s", row.HasColumns, row.Delivered, row.Dirty, row.Raw)
	}
}

func TestDecorations(t *testing.T) {
	row := parse(t, `{"name":"q","decorations":{"uuid":"nested"},"uuid":"top","region":"eu","columns":{}}`)
	for name, want := range map[string]string{"uuid": "nested", "region": "eu"} {
		if v, ok := row.Decoration(name); !ok || v.Text() != want {
			t.Errorf("decoration %s is %q, %v, want %q", name, v.Text(), ok, want)
		}
	}
	if v, ok := row.Decoration("name"); ok {
		t.Errorf("the query's name is taken for a decoration: %q", v.Text())
	}
}

func TestDuplicateNamesLastCounts(t *testing.T) {
	row := parse(t, `{"columns":{"a":"0"},"name":"1","name":"2","columns":{"a":"1","b":"1","\u0061":"2"}}`)
	if v, _ := row.Column("a"); v.Text() != "2" || row.Query.Text() != "2" || len(row.Columns) != 3 {
		t.Errorf("a is %q, name %q, %d columns", v.Text(), row.Query.Text(), len(row.Columns))
	}
	row = parse(t, `{"columns":{"a":"0"},"delivery":{"agent":"x"},"columns":"","delivery":5}`)
	if row.HasColumns || row.Delivered || len(row.Columns) != 0 || row.Delivery.Agent != "" {
		t.Errorf("what came before the last member is kept: %+v", row)
	}
}

func TestOddMembersAreNoError(t *testing.T) {
	for _, raw := range []string{
		`{}`, `{ }`, `{"columns":5}`, `{"columns":[{}],"decorations":"x"}`, `{"delivery":null}`, `{"unixTime":{}}`, `{"name":[]}`,
		`{"delivery":{"agent":{},"seq":"x","row":-1.5,"rows":[],"prev":7,"spooled":"yesterday"}}`, `{"":""}`,
	} {
		parse(t, raw)
	}
}

func TestParseForgets(t *testing.T) {
	row := parse(t, `{"name":"q","severity":1,"kind":"gap","columns":{"a":"1"},"decorations":{"d":"1"},"top":"1",`+
		`"delivery":{"agent":"a","run":"r","seq":1,"row":2,"rows":3,"prev":"r/0","spooled":"2026-11-23T10:11:18.305Z"}}`)
	if err := row.Parse([]byte(`{"delivery":{}}`)); err != nil {
		t.Fatal(err)
	}
	if row.Delivery != (event.Delivery{}) || !row.Delivered {
		t.Errorf("an empty delivery reads as %+v", row.Delivery)
	}
	if err := row.Parse([]byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	_, column := row.Column("a")
	_, nested := row.Decoration("d")
	_, top := row.Decoration("top")
	if column || nested || top || row.HasColumns || row.Delivered || !row.Query.Empty() || !row.Severity.Empty() || !row.Kind.Empty() {
		t.Errorf("the row before shows through: %+v", row)
	}
	var syntax *event.SyntaxError
	if err := row.Parse([]byte(`{"name":"q","columns":{"a":"1"}`)); !errors.As(err, &syntax) {
		t.Fatalf("half a row: %v", err)
	}
	if row.Raw != nil || row.HasColumns || len(row.Columns) != 0 {
		t.Errorf("half a row says %+v", row)
	}
}

func TestDeliveryIsNotThatBefore(t *testing.T) {
	var row event.Row
	for _, d := range []struct{ raw, prev, agent string }{
		{`{"delivery":{"prev":"null","agent":"\\u0061"}}`, "null", `\u0061`},
		{`{"delivery":{"prev":null,"agent":"\u0061"}}`, "", "a"},
		{`{"delivery":{"agent":"a"}}`, "", "a"},
	} {
		if err := row.Parse([]byte(d.raw)); err != nil {
			t.Fatal(err)
		}
		if row.Delivery.Prev != d.prev || row.Delivery.Agent != d.agent {
			t.Errorf("%s reads as %+v", d.raw, row.Delivery)
		}
	}
}

func TestValueInt(t *testing.T) {
	for raw, want := range map[string]int64{
		"0": 0, "7": 7, "-1": -1, "0000000012": 12, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	} {
		for _, v := range []event.Value{{Raw: []byte(raw), String: true}, {Raw: []byte(raw)}} {
			if got, ok := v.Int(); !ok || got != want {
				t.Errorf("Int of %q is %d, %v", raw, got, ok)
			}
		}
	}
	for _, raw := range []string{"", "-", "+1", "1.0", "1e3", " 1", "1 ", "0x10", "١", "true", "null", "--1",
		"9223372036854775808", "-9223372036854775809", "18446744073709551501", "18446744073709551616", "99999999999999999999"} {
		if got, ok := (event.Value{Raw: []byte(raw), String: true}).Int(); ok {
			t.Errorf("Int of %q is %d, want none", raw, got)
		}
	}
}

func TestValueEmpty(t *testing.T) {
	row := parse(t, `{"columns":{"a":"","b":null,"c":"null","d":0}}`)
	for name, want := range map[string]bool{"a": true, "b": true, "absent": true, "c": false, "d": false} {
		if v, _ := row.Column(name); v.Empty() != want {
			t.Errorf("column %s: Empty is %v", name, !want)
		}
	}
}

func TestDelivery(t *testing.T) {
	spooled := time.Date(2026, 11, 23, 10, 11, 18, 305_092_270, time.FixedZone("", 3600))
	d := event.Delivery{Agent: "6f1c", Run: "00ff", Seq: 18446744073709551615, Row: 2, Rows: 3, Prev: "00fe/9", Spooled: spooled}
	const member = `"delivery":{"agent":"6f1c","run":"00ff","seq":18446744073709551615,"row":2,"rows":3,"prev":"00fe/9","spooled":"2026-11-23T09:11:18.305Z"}}`
	for object, want := range map[string]string{`{}`: `{` + member, `{"a":1}`: `{"a":1,` + member, "{ }": "{ " + member, "{\"a\":1\n}": "{\"a\":1\n," + member} {
		if got := string(event.AppendDelivery([]byte(object), &d)); got != want {
			t.Errorf("after %s:\n%s\nwant\n%s", object, got, want)
		}
	}
	if got := d.Name(); got != "6f1c/00ff/18446744073709551615/2" {
		t.Errorf("Name is %q", got)
	}
	d.Prev = ""
	row := parse(t, string(event.AppendDelivery([]byte(`{}`), &d)))
	if d.Spooled = spooled.Truncate(time.Millisecond).UTC(); row.Delivery != d {
		t.Errorf("read %+v, want %+v", row.Delivery, d)
	}
}
