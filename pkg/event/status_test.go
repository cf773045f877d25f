package event_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/pkg/event"
)

func TestSplitStatus(t *testing.T) {
	rows, err := event.SplitStatus([]byte(` [{"s":1,"f":"a.cpp","i":12,"m":"said \"no\"","h":"vm","c":"Mon Nov 23 10:11:18 2026 UTC","u":1795428678},` +
		` {"m":"bare","x":{"m":"inner"}} , {} ] `))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"hostIdentifier":"vm","calendarTime":"Mon Nov 23 10:11:18 2026 UTC","unixTime":1795428678,"severity":1,"filename":"a.cpp","line":12,"message":"said \"no\"","version":"5.23.1"}`,
		`{"message":"bare","version":"5.23.1"}`,
		`{"version":"5.23.1"}`,
	}
	if rows.Len() != len(want) {
		t.Fatalf("%d lines, want %d", rows.Len(), len(want))
	}
	for i := range want {
		if got := string(rows.AppendRow([]byte("+"), i, "5.23.1")); got != "+"+want[i] {
			t.Errorf("line %d is\n%s\nwant\n%s", i, got, want[i])
		}
	}
	row := parse(t, want[0])
	if row.Severity.Text() != "1" || row.HostIdentifier.Text() != "vm" || row.HasColumns {
		t.Errorf("a status row reads as %+v", row)
	}
}

func TestSplitStatusMends(t *testing.T) {
	rows, err := event.SplitStatus([]byte("[{\"m\":\"bad \xff\"},{\"m\":\"good\"}]"))
	if err != nil {
		t.Fatal(err)
	}
	first, second := rows.AppendRow(nil, 0, ""), rows.AppendRow(nil, 1, "")
	if got, want := string(original(t, first)), "{\"message\":\"bad \xff\",\"version\":\"\"}"; got != want {
		t.Errorf("original of %s is %q, want %q", first, got, want)
	}
	if got, want := string(second), `{"message":"good","version":""}`; got != want {
		t.Errorf("the good line is %s, want %s", got, want)
	}
}

func TestSplitStatusRefuses(t *testing.T) {
	for _, bad := range []string{"", "osqueryd", "{}", `[{"s":1}`, `["s"]`, `[{"s":01}]`, `[{}] x`, "[null]"} {
		if rows, err := event.SplitStatus([]byte(bad)); err == nil {
			t.Errorf("SplitStatus(%s) = %v, want an error", bad, rows)
		}
	}
	if rows, err := event.SplitStatus([]byte("[]")); err != nil || rows.Len() != 0 {
		t.Errorf("no lines: %v, %v", rows, err)
	}
}
