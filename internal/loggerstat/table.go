package loggerstat

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// TableName is the osquery table's name.
const TableName = "stackjoin_logger"

// maxText bounds a text that is shown, in bytes.
const maxText = 512

// column is one column and how its value is made. Absent times are empty.
type column struct {
	name  string
	kind  string
	value func(s Snapshot, now time.Time) string
}

// Table returns the osquery table with one row, made from a snapshot at each query.
// snapshot is called from many goroutines.
func Table(snapshot func() Snapshot) *extension.Table {
	columns := columns()
	t := &extension.Table{Name: TableName}
	for _, c := range columns {
		t.Columns = append(t.Columns, extension.Column{Name: c.name, Type: c.kind})
	}
	t.Rows = func(context.Context) []map[string]string {
		s, now, row := snapshot(), time.Now(), map[string]string{}
		for _, c := range columns {
			row[c.name] = c.value(s, now)
		}
		return []map[string]string{row}
	}
	return t
}

func columns() []column {
	var all []column
	for _, part := range [][]column{identityColumns(), intakeColumns(), spoolColumns(), shippingColumns()} {
		all = append(all, part...)
	}
	return all
}

func identityColumns() []column {
	return []column{
		text("version", func(s Snapshot) string { return s.Version }),
		text("config_hash", func(s Snapshot) string { return s.ConfigHash }),
		text("config_state", func(s Snapshot) string { return string(s.ConfigState) }),
		text("agent", func(s Snapshot) string { return s.Agent }),
		text("run", func(s Snapshot) string { return s.Run }),
		whole("registered", func(s Snapshot) int64 { return truth(s.Registered) }),
		moment("registered_since", func(s Snapshot) time.Time { return s.RegisteredSince }),
		whole("registrations", func(s Snapshot) int64 { return int64(s.Registrations) }),
		whole("absences", func(s Snapshot) int64 { return int64(s.Absences) }),
	}
}

func intakeColumns() []column {
	return []column{
		whole("calls_accepted", func(s Snapshot) int64 { return int64(s.CallsAccepted) }),
		whole("calls_failed", func(s Snapshot) int64 { return int64(s.CallsFailed) }),
		whole("syncs", func(s Snapshot) int64 { return int64(s.Syncs) }),
		span("sync_seconds_last", func(s Snapshot) time.Duration { return s.SyncLast }),
		span("sync_seconds_total", func(s Snapshot) time.Duration { return s.SyncTotal }),
	}
}

func spoolColumns() []column {
	return []column{
		whole("spool_bytes", func(s Snapshot) int64 { return s.SpoolBytes }),
		whole("waiting_calls", func(s Snapshot) int64 { return int64(s.WaitingCalls) }),
		whole("waiting_bytes", func(s Snapshot) int64 { return s.WaitingBytes }),
		{"oldest_age_seconds", extension.ColumnDouble, func(s Snapshot, now time.Time) string { return decimal(s.oldestAge(now)) }},
		whole("held_calls", func(s Snapshot) int64 { return int64(s.HeldCalls) }),
		whole("held_bytes", func(s Snapshot) int64 { return s.HeldBytes }),
		moment("unwritable_since", func(s Snapshot) time.Time { return s.UnwritableSince }),
		text("unwritable_why", func(s Snapshot) string { return s.UnwritableWhy }),
		whole("lost_calls", func(s Snapshot) int64 { return int64(s.lost().Calls) }),
		whole("lost_bytes", func(s Snapshot) int64 { return int64(s.lost().Bytes) }),
		counts("drops", func(s Snapshot) string { return drops(s.Lost) }),
		whole("markers", func(s Snapshot) int64 { return int64(s.Markers) }),
	}
}

func shippingColumns() []column {
	return []column{
		text("shipping", func(s Snapshot) string { return string(s.ShippingState) }),
		moment("shipping_since", func(s Snapshot) time.Time { return s.ShippingSince }),
		text("shipping_why", func(s Snapshot) string { return s.ShippingWhy }),
		moment("failing_since", func(s Snapshot) time.Time { return s.FailingSince }),
		whole("sent_records", func(s Snapshot) int64 { return int64(s.SentRecords) }),
		whole("sent_bytes", func(s Snapshot) int64 { return int64(s.SentBytes) }),
		whole("send_failures", func(s Snapshot) int64 { return int64(s.SendFailures) }),
		whole("retries", func(s Snapshot) int64 { return int64(s.Retries) }),
		moment("last_send", func(s Snapshot) time.Time { return s.LastSend }),
		span("ack_lag_seconds", func(s Snapshot) time.Duration { return s.AckLag }),
		counts("dead_letters", func(s Snapshot) string { return object(s.DeadLetters) }),
		text("last_error", func(s Snapshot) string { return s.LastError }),
		moment("last_error_time", func(s Snapshot) time.Time { return s.LastErrorTime }),
	}
}

func text(name string, of func(Snapshot) string) column {
	return column{name, extension.ColumnText, func(s Snapshot, _ time.Time) string { return short(of(s)) }}
}

// counts is JSON of our own making, which must not be cut.
func counts(name string, of func(Snapshot) string) column {
	return column{name, extension.ColumnText, func(s Snapshot, _ time.Time) string { return of(s) }}
}

func whole(name string, of func(Snapshot) int64) column {
	return column{name, extension.ColumnBigint, func(s Snapshot, _ time.Time) string { return strconv.FormatInt(of(s), 10) }}
}

func span(name string, of func(Snapshot) time.Duration) column {
	return column{name, extension.ColumnDouble, func(s Snapshot, _ time.Time) string { return decimal(of(s)) }}
}

// moment is a time in Unix seconds, as osquery's own tables have it.
func moment(name string, of func(Snapshot) time.Time) column {
	return column{name, extension.ColumnBigint, func(s Snapshot, _ time.Time) string {
		if t := of(s); !t.IsZero() {
			return strconv.FormatInt(t.Unix(), 10)
		}
		return ""
	}}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// decimal is a time in seconds, in a form that every SQL reads.
func decimal(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// drops is what was lost as {"<reason>":{"calls":N,"bytes":N}}.
func drops(lost map[string]Lost) string {
	type entry struct {
		Calls uint64 `json:"calls"`
		Bytes uint64 `json:"bytes"`
	}
	all := map[string]entry{}
	for reason, l := range lost {
		all[reason] = entry(l)
	}
	return object(all)
}

// object is a map as JSON with sorted keys; without entries it is {}.
func object[V any](m map[string]V) string {
	if len(m) == 0 {
		return "{}"
	}
	b, err := json.Marshal(m)
	if err != nil { // numbers by text always marshal
		return "{}"
	}
	return string(b)
}

// short makes a text one line of valid UTF-8 that is not too long to read.
func short(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
