package cloudtrail

import "time"

// TimeSource says which member of a record gave its time.
type TimeSource string

// Where a record's time comes from, best first.
const (
	TimeEvent     TimeSource = "eventTime"    // AWS's own
	TimeTimestamp TimeSource = "@timestamp"   // Logstash's, Athena exports'
	TimePanther   TimeSource = "p_event_time" // Panther's
	TimeUnknown   TimeSource = "unknown"
)

// forms are the ways in which pipelines write CloudTrail's times, all UTC. The
// first is AWS's own; the two with month names are those that AWS uses inside
// responseElements.
func forms() [6]string {
	return [...]string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
		"Jan 2, 2006, 3:04:05 PM", "Jan 2, 2006 3:04:05 PM", "2006-01-02T15:04:05.999999999-0700",
	}
}

// earliest is before CloudTrail was first switched on (November 2013).
func earliest() time.Time { return time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC) }

// when reads a time. usual tells that it has AWS's own form; ok is false for what
// is no time, or one that no record can have.
func when(n node) (t time.Time, usual, ok bool) {
	text := n.text()
	if text == "" {
		return time.Time{}, false, false
	}
	if ms, isNumber := n.v.Int(); isNumber {
		t = time.UnixMilli(ms)
		if ms < 1e11 { // as milliseconds before 1973: these are seconds
			t = time.Unix(ms, 0)
		}
		return t.UTC(), false, sane(t)
	}
	for i, form := range forms() {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), i == 0, sane(t)
		}
	}
	return time.Time{}, false, false
}

func sane(t time.Time) bool { return t.After(earliest()) && t.Year() < 2200 }
