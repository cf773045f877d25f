package osqueryd

import (
	"fmt"
	"strconv"
	"time"
)

// Row is one row of a query: a string, int, int64, float64 or json.Number per
// column. Without Line.Numerics numbers are written as strings.
type Row map[string]any

// Line is what result lines of one run of a query have in common.
type Line struct {
	Name           string // the query's, with its pack's before it
	HostIdentifier string
	Time           time.Time
	Epoch          uint64
	Counter        uint64
	Numerics       bool
	Decorations    map[string]string
}

// Event returns one row of a differential result in event form. Action is "added"
// or "removed".
func (l Line) Event(action string, row Row) string {
	return l.event(action, row, escapeText)
}

// SnapshotEvent returns one row of a snapshot in event form
// (--logger_snapshot_event_type).
func (l Line) SnapshotEvent(row Row) string {
	return l.event("snapshot", row, plainText)
}

func (l Line) event(action string, row Row, text textForm) string {
	b := l.head([]byte("{"))
	b = append(b, `,"columns":`...)
	b = l.row(b, row, text)
	b = append(b, `,"action":`...)
	b = appendString(b, action)
	return string(append(b, '}'))
}

// Batch returns a differential result as one line (--logger_event_type=false).
func (l Line) Batch(removed, added []Row) string {
	b := append([]byte(nil), `{"diffResults":{"removed":`...)
	b = l.rows(b, removed, escapeText)
	b = append(b, `,"added":`...)
	b = l.rows(b, added, escapeText)
	b = append(b, "},"...)
	return string(append(l.head(b), '}'))
}

// Snapshot returns all rows of a snapshot as one line. Bytes that are no UTF-8
// stand in it as they are, as osquery leaves them.
func (l Line) Snapshot(rows []Row) string {
	b := append([]byte(nil), `{"snapshot":`...)
	b = l.rows(b, rows, plainText)
	b = append(b, `,"action":"snapshot",`...)
	return string(append(l.head(b), '}'))
}

// head appends the members that every form has, from name to decorations.
func (l Line) head(b []byte) []byte {
	b = append(b, `"name":`...)
	b = appendString(b, l.Name)
	b = append(b, `,"hostIdentifier":`...)
	b = appendString(b, l.HostIdentifier)
	b = append(b, `,"calendarTime":`...)
	b = appendString(b, CalendarTime(l.Time))
	b = fmt.Appendf(b, `,"unixTime":%d,"epoch":%d,"counter":%d,"numerics":%t`, l.Time.Unix(), l.Epoch, l.Counter, l.Numerics)
	if len(l.Decorations) == 0 {
		return b
	}
	b = append(b, `,"decorations":`...)
	return appendObject(b, l.Decorations, appendString)
}

func (l Line) rows(b []byte, rows []Row, text textForm) []byte {
	b = append(b, '[')
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = l.row(b, row, text)
	}
	return append(b, ']')
}

func (l Line) row(b []byte, row Row, text textForm) []byte {
	return appendObject(b, row, func(b []byte, value any) []byte { return l.value(b, value, text) })
}

// value appends a column: a number as such only with Numerics.
func (l Line) value(b []byte, value any, text textForm) []byte {
	switch v := value.(type) {
	case string:
		return appendString(b, text(v))
	case float64:
		return l.number(b, formatDouble(v))
	default: // int, int64, json.Number
		return l.number(b, fmt.Sprint(v))
	}
}

func (l Line) number(b []byte, digits string) []byte {
	if l.Numerics {
		return append(b, digits...)
	}
	return appendString(b, digits)
}

// CalendarTime renders a time as osquery does, to the second in UTC.
func CalendarTime(t time.Time) string { return t.UTC().Format("Mon Jan _2 15:04:05 2006") + " UTC" }

// StatusLine is one line of osqueryd's own log.
type StatusLine struct {
	Severity int // 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL
	File     string
	Line     int
	Message  string
	Host     string
	Time     time.Time
}

// StatusArray returns the payload of one status call.
func StatusArray(lines []StatusLine) string {
	b := []byte("[")
	for i, l := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = l.appendTo(b)
	}
	return string(append(b, ']'))
}

func (l StatusLine) appendTo(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"s":`...), int64(l.Severity), 10)
	b = appendString(append(b, `,"f":`...), l.File)
	b = strconv.AppendInt(append(b, `,"i":`...), int64(l.Line), 10)
	b = appendString(append(b, `,"m":`...), l.Message)
	b = appendString(append(b, `,"h":`...), l.Host)
	b = appendString(append(b, `,"c":`...), CalendarTime(l.Time))
	b = strconv.AppendInt(append(b, `,"u":`...), l.Time.Unix(), 10)
	return append(b, '}')
}
