package enrich

import (
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Input is one record as it was read.
type Input struct {
	// Key is the record's, nil where there are none.
	Key, Value []byte
	Position   Position
	// Name, when set, is the record's own, where its Position is not one: it names
	// rows that have no name.
	Name string
	// Appended is when the record became readable; zero when nobody knows.
	Appended time.Time
	// Sensor tells that the record is a network sensor's (event.SplitSensor), not
	// osquery's.
	Sensor bool
	// Side tells that the record is of the side topic: a Side's envelope.
	Side bool
	// Broken is why what was read is no record: it becomes a dead letter.
	Broken error

	// link is set for a sensor's record that is told as what one host did, and read
	// where this partition read it, if that is not Position.
	link *Link
	read Position
}

// place is where this partition read the record.
func (in *Input) place() Position {
	if in.read != (Position{}) {
		return in.read
	}
	return in.Position
}

// name is what a row of the record is named after when it has no name.
func (in *Input) name() string {
	if in.Name != "" {
		return in.Name
	}
	return in.Position.String()
}

// identify fills in what the row itself says: its name, host, kind and time.
func (p *Pipeline) identify(e *Event, in Input, sub int) {
	*e = Event{
		Row: e.Row, Position: in.Position, Key: in.Key, Appended: in.Appended, own: e.own, pieces: e.pieces, Names: e.Names[:0], read: in.place(),
		Gaps: e.Gaps[:0], Threats: e.Threats[:0], Evidence: e.Evidence[:0], Sought: e.Sought[:0],
	}
	if in.link != nil {
		e.Link = in.link.clean()
	}
	e.Lens = p.finder.Find(&e.Row)
	e.Kind = kindOf(e)
	if e.Link != nil {
		e.ID, e.Host = e.Link.ID(), e.Link.Host
	} else if e.Delivered && e.Delivery.Agent != "" {
		e.ID, e.Host = e.Delivery.Name(), Host(e.Delivery.Agent)
	} else {
		e.ID, e.Host = in.name(), Host(e.HostIdentifier.Text())
		if sub >= 0 {
			e.ID += "/" + strconv.Itoa(sub)
		}
	}
	if e.Host == "" {
		e.AddGap("host", HostUnknown)
	}
	if e.Sensor && e.Kind == event.Other {
		e.AddGap("kind", sensorGap(e))
	}
	e.Time, e.TimeSource = timeOf(e)
}

func kindOf(e *Event) event.Kind {
	switch {
	case !e.Row.Kind.Empty() && !e.HasColumns && e.Delivered:
		return event.Kind(e.Row.Kind.Text())
	case !e.HasColumns && !e.Severity.Empty():
		return event.Status
	}
	return e.Lens.Kind
}
