package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/event"
)

const zeekHead = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tssl\n#open\t2026-11-23-10-11-12\n" +
	"#fields\tts\tuid\tid.orig_h\tn\tok\ttext\tlist\n#types\ttime\tstring\taddr\tcount\tbool\tstring\tvector[string]\n"

// split takes a log apart and returns records, "!" and the reason before what is
// none, each with its line.
func split(text string) (all []string) {
	event.SplitSensor([]byte(text), func(r event.SensorRecord) {
		why := ""
		if r.Err != nil {
			why = "!" + r.Err.Error() + ": "
		}
		all = append(all, fmt.Sprintf("%d %s%s", r.Line, why, r.JSON))
	})
	return all
}

func TestSensorLogsOfEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a record a line":      {"{\"a\":1}\r\n\n {\"b\": 2} \n", []string{`1 {"a":1}`, `3 {"b": 2}`}},
		"several in a line":    {`{"a":1}{"b":"}{"} {"c":[{}]}`, []string{`1 {"a":1}`, `1 {"b":"}{"}`, `1 {"c":[{}]}`}},
		"one over many lines":  {"{\n  \"a\": \"x\\\"  y\",\n  \"b\": [\n    1\n  ]\n}\n{\"c\":1}", []string{`1 {"a": "x\"  y","b": [1]}`, `7 {"c":1}`}},
		"an array":             {"[\n  {\n \"a\":1\n},\n  {\"b\":2}\n]\n", []string{`2 {"a":1}`, `5 {"b":2}`}},
		"an array in a line":   {`[{"a":1},{"b":2}]`, []string{`1 {"a":1}`, `1 {"b":2}`}},
		"values":               {zeekHead + "1.5\tC1\t10.0.0.1\t7\tT\ta\\x09b\tx,y\n", []string{`9 {"_path":"ssl","ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","n":7,"ok":true,"text":"a\tb","list":["x","y"]}`}},
		"values not set":       {zeekHead + "1\t-\t-\t-\tF\t(empty)\t(empty)\n", []string{`9 {"_path":"ssl","ts":1,"ok":false,"text":"","list":[]}`}},
		"values of no type":    {zeekHead + "nan\tC\tx\t007\tyes\t\\xff\\xzz\t\\x2c,b\n", []string{`9 {"_path":"ssl","ts":"nan","uid":"C","id.orig_h":"x","n":"007","ok":"yes","text":"\\xff\\xzz","list":[",","b"]}`}},
		"a header in between":  {zeekHead + "#close\tx\n" + strings.Replace(zeekHead, "\tssl\n", "\tdns\n", 1) + "1\t-\t-\t-\t-\t-\t-\n", []string{`18 {"_path":"dns","ts":1}`}},
		"too few values":       {zeekHead + "1\tC1\n", []string{"9 !2 of 7: the line has not as many values as its #fields has names: 1\tC1"}},
		"values and no header": {"1\tC1\n", []string{"1 !neither JSON nor a line below a Zeek header: 1\tC1"}},
		"a directive alone":    {"#path\tssl\n", []string{"1 !\"#path\\tssl\" before #separator: neither JSON nor a line below a Zeek header: #path\tssl"}},
		"types that are few":   {"#separator \\x09\n#fields\ta\tb\n#types\tint\n", []string{"3 !1 of 2: #types has not as many words as #fields: #types\tint"}},
		"a torn record":        {"{\"a\":\n{\"b\":1}\n", []string{`1 !the record does not end: {"a":`, `2 {"b":1}`}},
		"torn at the end":      {`{"a":"x`, []string{`1 !the record does not end: {"a":"x`}},
		"garbage":              {"{\"a\":1} x\nno\n{\"b\":1}", []string{`1 {"a":1}`, "1 !neither JSON nor a line below a Zeek header: x", "2 !neither JSON nor a line below a Zeek header: no", `3 {"b":1}`}},
	} {
		if got := split(c.text); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestARecordThatNeverEndsIsGivenUp(t *testing.T) {
	var log event.SensorLog
	var got []event.SensorRecord
	keep := func(r event.SensorRecord) { r.JSON = bytes.Clone(r.JSON); got = append(got, r) }
	log.Line([]byte("{"), keep)
	line := []byte(`"` + strings.Repeat("x", 1<<20) + `":1,`)
	for range 9 {
		log.Line(line, keep)
	}
	if len(got) == 0 || !errors.Is(got[0].Err, event.ErrTooLarge) || got[0].Line != 1 || len(got[0].JSON) > event.MaxSensorRecord+len(line) {
		t.Fatalf("%d records", len(got))
	}
	got = nil
	log.Line([]byte(`{"a":1}`), keep)
	if len(got) != 1 || got[0].Err != nil {
		t.Errorf("the next record is lost: %+v", got)
	}
}

func TestParseSensorNamesRecords(t *testing.T) {
	for raw, want := range map[string]string{
		`{"_path":"conn","ts":1}`:                       "zeek.conn",
		`{"@stream":"ssl","ts":1}`:                      "zeek.ssl",
		`{"ts":1,"id.orig_h":"a","conn_state":"SF"}`:    "zeek.conn",
		`{"ts":1,"id":{"orig_h":"a"},"rejected":false}`: "zeek.dns",
		`{"ts":1,"proto":"x"}`:                          "",
		`{"event_type":"tls","timestamp":"x"}`:          "suricata.tls",
		`{"event_type":"tls"}`:                          "",
		`{"event_type":"dns","timestamp":"x","src_port":53,"dest_port":4000,"dns":{"type":"response"}}`:                             "suricata.dns.reply",
		`{"event_type":"dns","timestamp":"x","src_port":4000,"dest_port":53,"dns":{"type":"answer"}}`:                               "suricata.dns",
		`{"event_type":"dns","timestamp":"x","src_port":5353,"dest_port":5353,"dns":{"type":"answer"}}`:                             "suricata.dns",
		`{"query_name":"a.","query_timestamp":"x","srcaddr":"10.0.0.1"}`:                                                            "route53.resolver",
		`{"name":"socket_events","columns":{"pid":"1","remote_address":"a"},"hostIdentifier":"h","delivery":{"agent":"x","seq":1}}`: "",
	} {
		var row event.Row
		if err := row.ParseSensor([]byte(raw)); err != nil || row.Query.Text() != want || !row.Sensor || row.Delivered {
			t.Errorf("%s is %q (%v), want %q", raw, row.Query.Text(), err, want)
		}
	}
}

// A host cannot pass its row off as a sensor's, nor a sensor its record as a host's.
func TestHostsAndSensorsDoNotSpeakForEachOther(t *testing.T) {
	lenses := event.NewLenses(event.Custom{Name: "own", Kind: event.DNS, Columns: []string{"ts"}})
	columns := `"ts":"1","id.orig_h":"a","id.resp_h":"b","pid":"1","remote_address":"c"`
	var row event.Row
	if err := row.Parse([]byte(`{"name":"zeek.conn","columns":{` + columns + `}}`)); err != nil || lenses.Find(&row).Table != "own" {
		t.Errorf("%v: the row is read as %q", err, lenses.Find(&row).Table)
	}
	if err := row.ParseSensor([]byte(`{"_path":"socket_events",` + columns + `}`)); err != nil || lenses.Find(&row).Kind != event.Other {
		t.Errorf("%v: the record is read as %q", err, lenses.Find(&row).Table)
	}
}

// However the sensor's shipper writes them, the members are the same.
func TestShapesOfOneRecordAnswerAlike(t *testing.T) {
	finder := event.NewFinder(event.NewLenses())
	for _, raw := range []string{
		`{"ts":1760000000.25,"uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":4000,"id.resp_h":"192.0.2.1","id.resp_p":443,"established":true,"ja3":"x"}`,
		`{"ts":1760000000.25,"uid":"C1","id":{"orig_h":"10.0.0.1","orig_p":4000,"resp_h":"192.0.2.1","resp_p":443},"established":true,"ja3":"x"}`,
		`{"@stream":"ssl","ts":1760000000.25,"uid":"C1","id_orig_h":"10.0.0.1","id_orig_p":4000,"id_resp_h":"192.0.2.1","id_resp_p":443,"ja3":"x"}`,
		`{"_path":"ssl","ts":"2025-10-09T08:53:20.250000Z","uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":"4000","id.resp_h":"192.0.2.1","id.resp_p":"443","ja3":"x"}`,
	} {
		var row event.Row
		if err := row.ParseSensor([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		lens := finder.Find(&row)
		at, _ := lens.Time(&row)
		got := fmt.Sprint(lens.Table, lens.Kind, at.UnixMilli())
		for _, f := range []event.Field{event.ConnectionUID, event.LocalAddress, event.LocalPort, event.RemoteAddress, event.RemotePort, event.JA3} {
			got += " " + answer(&row, lens, f)
		}
		if want := "zeek.ssltls1760000000250 C1 10.0.0.1 4000 192.0.2.1 443 x"; got != want {
			t.Errorf("%s\nsays %s\nwant %s", raw, got, want)
		}
	}
}

// Nothing depends on how a log is cut into lines or on what came before: records
// of any forms, one after the other, come out in order.
func TestLogsOfMixedFormsKeepEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log, want strings.Builder
		for i := range rapid.IntRange(1, 12).Draw(t, "records") {
			n := fmt.Sprint(i)
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				log.WriteString(`{"n":` + n + `,"s":"{[\"\\"}` + "\n")
			case 1:
				log.WriteString("{\n\t\"n\": " + n + ",\n\t\"o\": {\n\t\t\"a\": []\n\t}\n}\n")
			case 2:
				log.WriteString("[{\"n\":" + n + "}\n]\n")
			case 3:
				log.WriteString(zeekHead + "1\tC\tx\t" + n + "\tT\t#{\t-\n")
			}
			want.WriteString(n + " ")
		}
		var got strings.Builder
		event.SplitSensor([]byte(log.String()), func(r event.SensorRecord) {
			var row event.Row
			if r.Err != nil || row.ParseSensor(r.JSON) != nil {
				t.Fatalf("line %d: %v: %q", r.Line, r.Err, r.JSON)
			}
			n, _ := row.Column("n")
			got.WriteString(n.Text() + " ")
		})
		if got.String() != want.String() {
			t.Fatalf("records %q, want %q", got.String(), want.String())
		}
	})
}

func FuzzSplitSensor(f *testing.F) {
	for _, s := range []string{
		zeekHead + "1.5\tC1\t10.0.0.1\t7\tT\ta\\x09b\tx,y\n", "[{\"a\":1},\n{\"b\":\"}\"}]", "{\n\"a\": [\n1]}\n", "{\"a\":\n{\"b\":1}\n", "#separator \\x\n#fields\t\n",
		"#separator ,\n#set_separator,\n#fields,a,b\n#types,set[int],vector[\n1,2\n", "\x00\xff{}]", "{\"a\":\"\xff\\", `[[{}]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		last := int64(0)
		var row event.Row
		event.SplitSensor(text, func(r event.SensorRecord) {
			if r.Line < last || len(r.JSON) == 0 {
				t.Fatalf("a record of line %d after one of line %d: %q", r.Line, last, r.JSON)
			}
			last = r.Line
			if r.Err == nil && row.ParseSensor(r.JSON) == nil && !row.Dirty && !json.Valid(row.Raw) {
				t.Fatalf("no JSON: %q", row.Raw)
			}
		})
	})
}

func FuzzParseSensor(f *testing.F) {
	for _, s := range []string{
		`{"_path":"ssl","ts":1,"id.orig_h":"a","id.resp_h":"b"}`, `{"event_type":"dns","timestamp":"2022-02-08T09:40:31.064321-0500","dns":{"queries":[{"rrname":"a"}],"answers":[{"rdata":"b","ttl":5}]}}`,
		`{"a":{"b":{"c":{"d":{"e":1}}}}}`, `{"a":[[{"b":1}]],"c\u0061":[ {"d":[{"e":[{"f":[{}]}]}]}]}`, `{"query_name":"a","query_timestamp":"b","srcaddr":"c"}`, `{`, `[]`, "{\"\xff\":\"\x01\"}",
	} {
		f.Add([]byte(s))
	}
	lenses := event.NewLenses()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var row event.Row
		err := row.ParseSensor(raw)
		if err != nil {
			if json.Valid(raw) && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) && !strings.Contains(err.Error(), event.ErrDepth.Error()) {
				t.Fatalf("refused (%v), but JSON: %q", err, raw)
			}
			return
		}
		if !row.Dirty && !json.Valid(row.Raw) {
			t.Fatalf("taken, but no JSON: %q", raw)
		}
		lens := lenses.Find(&row)
		lens.Time(&row)
		answer, _ := row.Column(lens.Column(event.Answer))
		event.Answers(answer, answer)
	})
}
