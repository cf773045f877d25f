package enrich

import (
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// earliest is a time before which no osquery row can have been made: the
// project's first release was in 2014. An earlier time is a clock that was not
// set.
var earliest = time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant, but for the language

// absurd is how far ahead of a record's own spooled or append time an event may
// claim to be and still move its host's clock.
const absurd = time.Hour

// timeOf finds when an event happened. A table's own time counts when it is
// one; else the query's, the spool's, the broker's. What the host said stays in
// the row either way.
func timeOf(e *Event) (time.Time, TimeSource) {
	if v, ok := e.Field(event.Time); ok && !e.Lens.Inventory {
		if t, ok := seconds(v); ok {
			return t, TimeColumn
		}
	}
	if t, ok := seconds(e.UnixTime); ok {
		return t, TimeQuery
	}
	switch {
	case e.Delivered && !e.Delivery.Spooled.IsZero():
		return e.Delivery.Spooled, TimeSpooled
	case !e.Appended.IsZero():
		return e.Appended, TimeAppend
	}
	return time.Time{}, TimeUnknown
}

func seconds(v event.Value) (time.Time, bool) {
	n, ok := v.Int()
	if !ok || n < earliest.Unix() || n > 1<<36 {
		return time.Time{}, false
	}
	return time.Unix(n, 0).UTC(), true
}

// clocks are the hosts' clocks: the highest event time of each, so that one
// host's bad clock or backlog moves nobody else.
type clocks map[Host]time.Time

// advance moves the host's clock to the event. An event that claims to be more
// than an hour ahead of when its row was spooled, or failing that appended, is
// clamped to that: sane is then false. It never moves back.
func (c clocks) advance(e *Event) (now time.Time, moved, sane bool) {
	t, sane := e.Time, true
	witness := e.Appended
	if e.Delivered && !e.Delivery.Spooled.IsZero() {
		witness = e.Delivery.Spooled
	}
	if !witness.IsZero() && t.After(witness.Add(absurd)) {
		t, sane = witness, false
	}
	now = c[e.Host]
	if !t.After(now) {
		return now, false, sane
	}
	c[e.Host] = t
	return t, true, sane
}
