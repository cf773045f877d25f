package osqueryd_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/internal/testdata"
)

// captured is one call that a real osqueryd made.
type captured struct {
	Type string `json:"type"`
	Log  string `json:"log"`
}

// parsed holds every member that a line of osquery can have.
type parsed struct {
	Name        string            `json:"name"`
	Host        string            `json:"hostIdentifier"`
	Unix        int64             `json:"unixTime"`
	Epoch       uint64            `json:"epoch"`
	Counter     uint64            `json:"counter"`
	Numerics    bool              `json:"numerics"`
	Decorations map[string]string `json:"decorations"`
	Action      string            `json:"action"`
	Columns     osqueryd.Row      `json:"columns"`
	Snapshot    *[]osqueryd.Row   `json:"snapshot"`
	Diff        *struct {
		Removed []osqueryd.Row `json:"removed"`
		Added   []osqueryd.Row `json:"added"`
	} `json:"diffResults"`

	Severity int    `json:"s"`
	File     string `json:"f"`
	Line     int    `json:"i"`
	Message  string `json:"m"`
	H        string `json:"h"`
	U        int64  `json:"u"`
}

// rebuild writes a line again from its members.
func (p parsed) rebuild(kind string) string {
	l := osqueryd.Line{
		Name: p.Name, HostIdentifier: p.Host, Time: time.Unix(p.Unix, 0), Epoch: p.Epoch, Counter: p.Counter,
		Numerics: p.Numerics, Decorations: p.Decorations,
	}
	switch {
	case kind == "status":
		s := osqueryd.StatusLine{Severity: p.Severity, File: p.File, Line: p.Line, Message: p.Message, Host: p.H, Time: time.Unix(p.U, 0)}
		array := osqueryd.StatusArray([]osqueryd.StatusLine{s})
		return array[1 : len(array)-1]
	case p.Diff != nil:
		return l.Batch(p.Diff.Removed, p.Diff.Added)
	case p.Snapshot != nil:
		return l.Snapshot(*p.Snapshot)
	case p.Action == "snapshot":
		return l.SnapshotEvent(p.Columns)
	default:
		return l.Event(p.Action, p.Columns)
	}
}

func TestLinesAreThoseOfARealOsqueryd(t *testing.T) {
	forms := map[string]int{}
	for _, file := range []string{"s_batch", "s_events", "s_numeric", "s_snapev"} {
		for i, text := range bytes.Split(bytes.TrimSpace(testdata.Read(t, "osquery/captured/"+file+".jsonl")), []byte("\n")) {
			var c captured
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			if c.Type == "init" {
				continue
			}
			var p parsed
			decoder := json.NewDecoder(bytes.NewReader([]byte(c.Log)))
			decoder.UseNumber()
			if err := decoder.Decode(&p); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			if got := p.rebuild(c.Type); got != c.Log {
				t.Errorf("%s:%d:\n got %s\nwant %s", file, i+1, got, c.Log)
			}
			forms[file+" "+c.Type]++
		}
	}
	t.Logf("rebuilt %v", forms)
	if len(forms) < 8 {
		t.Errorf("compared only %v", forms)
	}
}

func TestTextInLines(t *testing.T) {
	l := osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Date(2016, 5, 2, 22, 27, 32, 0, time.UTC)}
	const tail = `"name":"q","hostIdentifier":"h","calendarTime":"Mon May  2 22:27:32 2016 UTC","unixTime":1462228052,"epoch":0,"counter":0,"numerics":false}`
	row := osqueryd.Row{"b": "é\x01\xff\"\\\n/<", "a": 1, "c": 2.0, "d": int64(-3)}
	tests := map[string]struct{ got, want string }{
		"differential text is escaped": {
			l.Batch(nil, []osqueryd.Row{row}),
			`{"diffResults":{"removed":[],"added":[{"a":"1","b":"é\\x01\\xFF\"\\\\x0A/<","c":"2.0","d":"-3"}]},` + tail,
		},
		"snapshot text is not": {
			l.Snapshot([]osqueryd.Row{row, {}}),
			`{"snapshot":[{"a":"1","b":"é\u0001` + "\xff" + `\"\\\n/<","c":"2.0","d":"-3"},{}],"action":"snapshot",` + tail,
		},
		"no lines": {osqueryd.StatusArray(nil), "[]"},
	}
	for name, test := range tests {
		if test.got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, test.got, test.want)
		}
	}
}

func TestNumbersInLines(t *testing.T) {
	l := osqueryd.Line{Numerics: true}
	got := l.Event("added", osqueryd.Row{"a": 1, "b": 2.0, "c": 0.5, "d": json.Number("12345678901234567890"), "e": 1e300})
	want := []byte(`"columns":{"a":1,"b":2.0,"c":0.5,"d":12345678901234567890,"e":1e+300},"action":"added"}`)
	if !bytes.HasSuffix([]byte(got), want) {
		t.Errorf("got %s, want the end %s", got, want)
	}
}
