package event_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// realRow returns the first real row of a query.
func realRow(t *testing.T, path, query string) *event.Row {
	t.Helper()
	for _, payload := range realResults(t)[path] {
		if rows, records := rowsOf(t, string(payload)); rows.Query() == query {
			return parse(t, records[0])
		}
	}
	t.Fatalf("no row of %s in %s", query, path)
	return nil
}

// answers are what a lens must say of a real row.
type answers map[event.Field]string

func TestLensesOnRealRows(t *testing.T) {
	const (
		results     = "osquery/osqueryd.results.log"
		docs        = "osquery/more/osquery_docs.jsonl"
		panther     = "osquery/more/panther_osquery_rules.jsonl"
		airbnb      = "osquery/more/streamalert_fixtures.jsonl"
		secureworks = "osquery/more/secureworks_telemetry-tool_nolic.jsonl"
	)
	lenses := event.NewLenses()
	for _, test := range []struct {
		path, query, table string
		kind               event.Kind
		inventory          bool
		want               answers
	}{
		{docs, "process_events", "process_events", event.Process, false, answers{
			event.PID: "30219", event.ParentPID: "", event.Path: "/usr/bin/curl", event.CommandLine: "curl google.com",
			event.AuditUID: "1000", event.UID: "0", event.Time: "1527895541", event.WorkingDirectory: "",
		}},
		{docs, "socket_events", "socket_events", event.Socket, false, answers{event.Verb: "connect", event.Outcome: "succeeded"}},
		{docs, "processes", "processes", event.Process, true, answers{event.PID: "97830", event.Path: "/opt/osquery/bin/osqueryd"}},
		{secureworks, "bpf_process_events", "bpf_process_events", event.Process, false, answers{
			event.PID: "20478", event.ParentPID: "20468", event.Syscall: "exec", event.Path: "/usr/bin/bash", event.WorkingDirectory: "/home/amscwx",
		}},
		{secureworks, "bpf_socket_events", "bpf_socket_events", event.Socket, false, answers{event.Verb: "connect"}},
		{secureworks, "es_process_events", "es_process_events", event.Process, false, answers{event.PID: "8369", event.ParentPID: "1", event.Syscall: "exec"}},
		{secureworks, "es_process_file_events", "es_process_file_events", event.File, false, answers{}},
		{secureworks, "file_events", "file_events", event.File, false, answers{event.PID: "-", event.UID: "-"}},
		{results, "fim", "file_events", event.File, false, answers{}},
		{results, "pack_osquery-custom-pack_processes", "processes", event.Process, true, answers{}},
		{results, "pack_incident-response_open_sockets", "open_sockets", event.Socket, true, answers{event.Family: "1", event.RemoteAddress: "", event.Path: "-"}},
		{results, "pack_incident-response_listening_ports", "listening_ports", event.Socket, true, answers{event.Path: "-", event.RemoteAddress: "-"}},
		{results, "pack_incident-response_shell_history", "shell_history", event.Inventory, true, answers{}},
		{results, "pack_incident-response_last", "last", event.Login, true, answers{}},
		{results, "pack_incident-response_logged_in_users", "logged_in_users", event.Login, true, answers{}},
		{panther, "pack/incident_response/logged_in_users", "logged_in_users", event.Login, true, answers{event.UserName: "ubuntu", event.RemoteHost: "10.0.3.1"}},
		{panther, "pack-incident_response-last", "last", event.Login, true, answers{event.UserName: "ubuntu", event.Terminal: "ttys008", event.PID: "648"}},
		{airbnb, "pack_incident-response_last", "last", event.Login, true, answers{event.PID: "12345", event.Time: "1581542540"}},
		{airbnb, "...", "shell_history", event.Inventory, true, answers{event.CommandLine: "ls -lha"}},
		{results, "pack_incident-response_process_memory", "", event.Other, true, answers{event.PID: "-", event.Path: "-"}},
		{results, "pack_incident-response_mounts", "mounts", event.Inventory, true, answers{event.Path: "-", event.MountPath: "/etc", event.FileSystem: "xfs"}},
	} {
		t.Run(test.query, func(t *testing.T) {
			row := realRow(t, test.path, test.query)
			lens := lenses.Find(row)
			if lens.Table != test.table || lens.Kind != test.kind || lens.Inventory != test.inventory {
				t.Fatalf("read as %q, %s, inventory %v: %s", lens.Table, lens.Kind, lens.Inventory, row.Raw)
			}
			for field, want := range test.want {
				if got := answer(row, lens, field); got != want {
					t.Errorf("field %d is %q, want %q: %s", field, got, want, row.Raw)
				}
			}
		})
	}
}

// answer is the text of a field, "-" where the lens does not answer for it.
func answer(row *event.Row, lens *event.Lens, field event.Field) string {
	column := lens.Column(field)
	if column == "" {
		return "-"
	}
	v, _ := row.Column(column)
	return v.Text()
}

// shape makes a row of a query with the named columns.
func shape(t failer, query string, columns ...string) *event.Row {
	t.Helper()
	var b bytes.Buffer
	for _, c := range columns {
		fmt.Fprintf(&b, `,"%s":"1"`, c)
	}
	row := new(event.Row)
	if err := row.Parse([]byte(`{"name":"` + query + `","columns":{` + strings.TrimPrefix(b.String(), ",") + `}}`)); err != nil {
		t.Fatalf("%v", err)
	}
	return row
}

func TestLensesDoNotGuess(t *testing.T) {
	lenses := event.NewLenses()
	for _, test := range []struct {
		query   string
		columns []string
		want    string
	}{
		{"socket_events", []string{"pid", "remote_address"}, "socket_events"},
		{"pack/linux/socket_events", []string{"pid", "remote_address"}, "socket_events"},
		{`pack\/linux\/socket_events`, []string{"pid", "remote_address"}, "socket_events"},
		{"my_bpf_socket_events", []string{"pid", "remote_address"}, "bpf_socket_events"},
		{"my_process_open_sockets", []string{"pid", "remote_address"}, "process_open_sockets"},
		{"socket_events", []string{"pid"}, ""},
		{"socket_events", nil, ""},
		{"websocket_events", []string{"pid", "remote_address"}, ""},
		{"mysocket_events", []string{"pid", "remote_address"}, ""},
		{"socket_events_v2", []string{"pid", "remote_address"}, ""},
		{"q", []string{"action", "pid", "remote_address", "remote_port", "time"}, "socket_events"},
		{"q", []string{"pid", "remote_address", "remote_port", "time"}, ""},
		{"q", []string{"pid", "path"}, ""},
		{"list_of_users_last", []string{"username", "uid"}, ""},
		{"es_process_file_events", []string{"pid", "path", "filename", "event_type"}, "es_process_file_events"},
		{"", nil, ""},
	} {
		if got := lenses.Find(shape(t, test.query, test.columns...)).Table; got != test.want {
			t.Errorf("%s with %v is read as %q, want %q", test.query, test.columns, got, test.want)
		}
	}
}

func TestFinderFindsWhatLensesFind(t *testing.T) {
	lenses := event.NewLenses()
	finder := event.NewFinder(lenses) // kept over all draws: what it remembers must not matter
	columns := rapid.SliceOfDistinct(rapid.SampledFrom([]string{
		"pid", "path", "parent", "cmdline", "time", "auid", "ntime", "probe_error", "start_time", "resident_size", "remote_address", "remote_port",
		"local_port", "action", "syscall", "state", "port", "address", "protocol", "family", "target_path", "category", "host", "tty", "user", "username", "type",
	}), rapid.ID[string])
	queries := rapid.SampledFrom([]string{"q", "processes", "process_events", "pack_a_socket_events", "last", "open_sockets", "fim"})
	rapid.Check(t, func(t *rapid.T) {
		row := shape(t, queries.Draw(t, "query"), columns.Draw(t, "columns")...)
		if got, want := finder.Find(row), lenses.Find(row); got != want {
			t.Fatalf("found %q, want %q: %s", got.Table, want.Table, row.Raw)
		}
	})
}

// A host must not be able to make the finder remember something wrong for other
// hosts' rows.
func TestFinderIsNotMisled(t *testing.T) {
	lenses := event.NewLenses()
	finder := event.NewFinder(lenses)
	honest := shape(t, "q", "action", "pid", "remote_address", "remote_port", "time")
	for _, sly := range []*event.Row{
		shape(t, "q", "actionpidremote_addressremote_porttime"), shape(t, "qaction", "pid", "remote_address", "remote_port", "time"),
		shape(t, `q`, `action\u0003pid`, "remote_address", "remote_port", "time"),
	} {
		finder.Find(sly)
	}
	if got, want := finder.Find(honest), lenses.Find(honest); got != want || want.Table != "socket_events" {
		t.Errorf("found %q, want %q", got.Table, want.Table)
	}
}

func TestFinderOutlivesItsMemory(t *testing.T) {
	lenses := event.NewLenses()
	finder := event.NewFinder(lenses)
	for i := range 10_000 {
		finder.Find(shape(t, fmt.Sprintf("query_%d", i), "a"))
	}
	if got := finder.Find(shape(t, "socket_events", "pid", "remote_address")).Table; got != "socket_events" {
		t.Errorf("found %q", got)
	}
}
