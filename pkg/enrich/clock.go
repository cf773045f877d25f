package enrich

import (
	"encoding/binary"
	"fmt"
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
	if t, ok := e.Lens.Time(&e.Row); ok && !e.Lens.Inventory && (e.Sensor || !t.Before(earliest)) { // a sensor may replay an old capture
		return t, TimeColumn
	}
	if t, ok := e.UnixTime.Time(event.Seconds); ok && !t.Before(earliest) {
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

// sane is the event's time for windows and clocks: one that claims to be more than
// an hour ahead of when its row was spooled, or failing that appended, is clamped
// to that.
func sane(e *Event) (t time.Time, ok bool) {
	witness := e.Appended
	if e.Delivered && !e.Delivery.Spooled.IsZero() {
		witness = e.Delivery.Spooled
	}
	if !witness.IsZero() && e.Time.After(witness.Add(absurd)) {
		return witness, false
	}
	return e.Time, true
}

// clocks are the hosts' clocks: the highest event time of each, so that one host's
// bad clock or backlog moves nobody else, and an outage of ours ages nobody.
type clocks struct {
	hosts map[Host]time.Time
	moved map[Host]bool // since the last seal
	state State
}

func newClocks(state State) clocks {
	return clocks{hosts: map[Host]time.Time{}, moved: map[Host]bool{}, state: state}
}

// now is the host's time, zero before its first row.
func (c *clocks) now(host Host) (time.Time, error) {
	if now, ok := c.hosts[host]; ok || c.state == nil {
		return now, nil
	}
	b, err := c.state.Get(host, []byte(clockKey))
	if err != nil {
		return time.Time{}, fmt.Errorf("clock of %s: %w", host, err)
	}
	var now time.Time
	if len(b) == 8 {
		now = time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
	}
	c.hosts[host] = now
	return now, nil
}

// advance moves the host's clock to t, never back.
func (c *clocks) advance(host Host, t time.Time) (moved bool, err error) {
	now, err := c.now(host)
	if err != nil || !t.After(now) {
		return false, err
	}
	c.hosts[host], c.moved[host] = t, true
	return true, nil
}

// seal writes the clocks that moved.
func (c *clocks) seal() error {
	if c.state == nil {
		return nil
	}
	for host := range c.moved {
		b := binary.BigEndian.AppendUint64(nil, uint64(c.hosts[host].UnixNano()))
		if err := c.state.Put(host, []byte(clockKey), b); err != nil {
			return fmt.Errorf("clock of %s: %w", host, err)
		}
	}
	clear(c.moved)
	return nil
}
