// Package story tells joins as stories: rows in, records out, in YAML that a person
// reads. A story's rows are handed to a pipeline one by one, as logger-ext ships
// them; each output must be a valid record, and what the story wants of an event is
// looked for in the last that was told of it. Only tests import this package.
//
//	story: an event meets the process that had its pid
//	host: web-1
//	start: 2026-11-23T10:00:00Z
//	rows:
//	  - {id: curl, table: process_events, at: 3, columns: {pid: 103, parent: 102, path: /usr/bin/curl}}
//	  - {id: call, table: socket_events, at: 4, columns: {pid: 103, remote_address: 198.51.100.7}}
//	  - {table: processes, at: 60, snapshot: [{pid: 1, start_time: "@-900"}, {pid: 103}]}
//	  - {again: call}
//	  - {id: hello, at: 4, sensor: {_path: ssl, ts: "@4", id.orig_h: 10.0.0.5, ja3: ...}}
//	want:
//	  - {row: call, is: {process: {executable: /usr/bin/curl, start: "@3"}, session: null}}
//
// A link is wanted by the sensor's record and the host, {link: hello, is: {...}}, with
// responder: true where the host is the end that answered.
//
// What came to a person is wanted by its rule, {finding: telemetry_gap, is: {...}}, and
// told: 2 wants that an event or a finding was told as often. A row that is lost was
// sent and never came; one that arrives later than it was asked for was on its way till
// then, by the broker's clock.
//
// Records of CloudTrail's are told beside the rows, from a file of them:
//
//	cloudtrail:
//	  - {is: get, id: get-2, at: 250, set: {sourceIPAddress: 192.0.2.66}}
//	want:
//	  - {call: get-2, is: {link: {status: none}}}
//
// Times are seconds after start; "@3" is such a time, in a row as Unix seconds and in
// what is wanted as the output writes times. A want's members are looked for in the
// enrichment, others may stand beside them; a list must have as many elements; null
// means that there is none.
package story

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Story is one file.
type Story struct {
	Story string    `yaml:"story"`
	Host  string    `yaml:"host"`
	Start time.Time `yaml:"start"`
	// Emit and Lenses are the enricher's joins.emit and lenses.
	Emit   string              `yaml:"emit"`
	Lenses []enricherconf.Lens `yaml:"lenses"`
	Rows   []Row               `yaml:"rows"`
	// CloudTrail are records of CloudTrail's, and Labels the enricher's labels.
	CloudTrail []Call         `yaml:"cloudtrail"`
	Labels     map[string]any `yaml:"labels"`
	Want       []Want         `yaml:"want"`
}

// Call is a record of CloudTrail's: one of a file of records, by its eventID, with some
// of its members changed.
type Call struct {
	Is string `yaml:"is"`
	// ID is its eventID here, if not that of the file, and At when it happened, if not
	// when the file says.
	ID string `yaml:"id"`
	At *int   `yaml:"at"`
	// Set are members by their path, as in userIdentity.accessKeyId or
	// responseElements.instancesSet.items.0.instanceId. null takes a member away.
	Set map[string]any `yaml:"set"`
}

// Row is one osquery call: a row, or a snapshot of several.
type Row struct {
	// ID is what the story calls the row, or a snapshot's first.
	ID    string `yaml:"id"`
	Table string `yaml:"table"`
	// Host is another than the story's.
	Host string `yaml:"host"`
	// At is when it happened, Asked when the query ran if later.
	At    int `yaml:"at"`
	Asked int `yaml:"asked"`
	// Arrives is when the broker took it, by its own clock, if not when the query ran
	// by the host's.
	Arrives *int `yaml:"arrives"`
	// Lost tells that it was sent and never came.
	Lost     bool             `yaml:"lost"`
	Action   string           `yaml:"action"`
	Columns  map[string]any   `yaml:"columns"`
	Snapshot []map[string]any `yaml:"snapshot"`
	// JSON is a row as it is, in place of all this.
	JSON string `yaml:"json"`
	// Sensor is a network sensor's record, in place of all this but At and Arrives.
	Sensor map[string]any `yaml:"sensor"`
	// Again delivers the row of that id once more.
	Again string `yaml:"again"`
}

// Want is what one row's event, a finding of one rule, or a link is
// to be told as.
type Want struct {
	Row     string `yaml:"row"`
	Finding string `yaml:"finding"`
	// Link is what Host, or else the story's, did in that sensor's record, as its
	// Responder or else its origin. None wants that it is not told.
	Link      string         `yaml:"link"`
	Host      string         `yaml:"host"`
	Responder bool           `yaml:"responder"`
	None      bool           `yaml:"none"`
	Is        map[string]any `yaml:"is"`
	// Call is a CloudTrail record's eventID: what is wanted is of the link that rests on it.
	Call string `yaml:"call"`
	// Told is how often it was told, 0 where that does not matter.
	Told int `yaml:"told"`
}

// record is one input, with what its event is called in the story and by the
// pipeline.
type record struct {
	label, id string
	value     []byte
	appended  time.Time
	sensor    bool
}

// Known are the story's labels, by kind and id.
func (s *Story) Known() *cloud.Labels {
	var all []cloud.Labelled
	for kind, of := range s.Labels {
		for id, words := range of.(map[string]any) {
			l := cloud.Labelled{Kind: cloud.LabelKind(kind), ID: id}
			for _, w := range words.([]any) {
				l.Labels = append(l.Labels, w.(string))
			}
			all = append(all, l)
		}
	}
	return cloud.NewLabels(all)
}

// Load reads a story. It ends the test where there is none.
func Load(t testing.TB, path string) *Story {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Story{Host: "h", Start: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	if err := yaml.UnmarshalWithOptions(text, s, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if s.Story == "" || len(s.Rows)+len(s.CloudTrail) == 0 || len(s.Want) == 0 {
		t.Fatalf("%s: a story has a word on what it is about, rows or records, and wants", path)
	}
	return s
}

// position is where record i of a story is read.
func position(i int) enrich.Position {
	return enrich.Position{Topic: "osquery.results", Offset: int64(i)}
}

// records are the story's rows as they are shipped, in order.
func (s *Story) records(t testing.TB) (all []record) {
	t.Helper()
	prev := map[string]string{}
	for seq, r := range s.Rows {
		switch {
		case r.Again != "":
			all = append(all, again(t, all, r.Again))
		case r.JSON != "":
			all = append(all, record{r.ID, nameOf(r.JSON, len(all)), []byte(r.JSON), s.appended(&r), false})
		case r.Sensor != nil:
			all = append(all, record{r.ID, position(len(all)).String(), s.sensor(t, r.Sensor), s.appended(&r), true})
		default:
			call := s.call(t, &r, seq+1, prev)
			if !r.Lost {
				all = append(all, call...)
			}
		}
	}
	return all
}

// Sensors tells whether the story has records of network sensors.
func (s *Story) Sensors() bool {
	return slices.ContainsFunc(s.Rows, func(r Row) bool { return r.Sensor != nil })
}

// sensor writes a sensor's record.
func (s *Story) sensor(t testing.TB, members map[string]any) []byte {
	t.Helper()
	all := maps.Clone(members)
	for name, value := range all {
		if text, ok := value.(string); ok {
			if at, ok := s.moment(text); ok {
				all[name] = at.Unix()
			}
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// appended is when the broker took a row.
func (s *Story) appended(r *Row) time.Time {
	seconds := max(r.At, r.Asked)
	if r.Arrives != nil {
		seconds = *r.Arrives
	}
	return s.Start.Add(time.Duration(seconds) * time.Second)
}

// nameOf is the name of a row that is read at position i.
func nameOf(row string, i int) string {
	var parsed event.Row
	if err := parsed.Parse([]byte(row)); err == nil && parsed.Delivered {
		return parsed.Delivery.Name()
	}
	return position(i).String()
}

func again(t testing.TB, all []record, label string) record {
	t.Helper()
	for _, r := range all {
		if r.label == label {
			return r
		}
	}
	t.Fatalf("no row %q to deliver again", label)
	return record{}
}

const run = "00112233445566aa"

// call ships one call of osqueryd's, which is called seq. prev has the last call of
// each agent.
func (s *Story) call(t testing.TB, r *Row, seq int, prev map[string]string) (all []record) {
	t.Helper()
	rows, action := r.Snapshot, "snapshot"
	if rows == nil {
		if rows, action = []map[string]any{r.Columns}, r.Action; action == "" {
			action = "added"
		}
	}
	agent := r.Host
	if agent == "" {
		agent = s.Host
	}
	for i, columns := range rows {
		d := event.Delivery{
			Agent: agent, Run: run, Seq: uint64(seq), Row: i, Rows: len(rows), Prev: prev[agent], Spooled: s.Start.Add(time.Duration(max(r.At, r.Asked)) * time.Second),
		}
		out := record{label: r.ID, id: d.Name(), value: event.AppendDelivery(s.row(t, r, agent, action, columns), &d), appended: s.appended(r)}
		if i > 0 {
			out.label = ""
		}
		all = append(all, out)
	}
	prev[agent] = fmt.Sprintf("%s/%d", run, seq)
	return all
}

// row writes a row as osqueryd does, with every value as text. A table of events has
// its own time where the story gives none.
func (s *Story) row(t testing.TB, r *Row, host, action string, columns map[string]any) []byte {
	t.Helper()
	unix := s.Start.Unix() + int64(max(r.At, r.Asked))
	head := fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"columns":{`, r.Table, host, unix)
	texts := map[string]string{}
	for name, value := range columns {
		texts[name] = s.text(t, value)
	}
	b := appendColumns([]byte(head), texts)
	whole := append(bytes.Clone(b), `},"action":"`+action+`"}`...)
	var parsed event.Row
	if err := parsed.Parse(whole); err != nil {
		t.Fatalf("row %s: %v", whole, err)
	}
	lens := event.NewLenses().Find(&parsed)
	if _, has := texts[lens.Column(event.Time)]; has || lens.Inventory || lens.Column(event.Time) == "" {
		return whole
	}
	texts[lens.Column(event.Time)] = strconv.FormatInt(s.Start.Unix()+int64(r.At), 10)
	return append(appendColumns([]byte(head), texts), `},"action":"`+action+`"}`...)
}

// text is a column's value as osqueryd writes it.
func (s *Story) text(t testing.TB, value any) string {
	t.Helper()
	text := fmt.Sprint(value)
	if at, ok := s.moment(text); ok {
		return strconv.FormatInt(at.Unix(), 10)
	}
	return text
}

// moment reads "@3".
func (s *Story) moment(text string) (time.Time, bool) {
	digits, ok := strings.CutPrefix(text, "@")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return time.Time{}, false
	}
	return s.Start.Add(time.Duration(n) * time.Second), true
}

// appendColumns appends members in the order of their names, as osqueryd does.
func appendColumns(dst []byte, texts map[string]string) []byte {
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, name), ':')
		dst = event.AppendString(dst, texts[name])
	}
	return dst
}
