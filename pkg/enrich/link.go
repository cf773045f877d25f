package enrich

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Link makes an event of what one host did in a sensor's record. Such an event has the
// sensor's row, an id of its own and the host; its time is the sensor's.
type Link struct {
	// Host is whose doing it was, Source the id of the sensor's record.
	Host   Host
	Source string
	// Responder tells that the host is the end that answered: the event's local and
	// remote fields are then the record's other way round.
	Responder bool
	// Shared tells that several hosts may have owned the address.
	Shared bool
	// Change and Withdrawn are the Side's.
	Change    int
	Withdrawn bool
	// Slack is how much later than the record evidence of it may have happened. An
	// operator sets it.
	Slack time.Duration
	// Sockets are the host's own that it may have been, those of one process once, in
	// the order of their pids. An operator sets them.
	Sockets []Socket
}

// Socket is a socket that a host's own row told.
type Socket struct {
	PID int64
	// At is when it was opened, or was seen open.
	At time.Time
	// Event is the id of the row that tells it.
	Event string
	// EntityID and Executable are those of its process, empty where it is not known.
	EntityID, Executable string
}

// ID is the link's: the same for one record and host, whatever is found. A host that is
// both ends has two.
func (l *Link) ID() string {
	text := l.Source + "\x00" + string(l.Host)
	if l.Responder {
		text += "\x00responder"
	}
	sum := sha256.Sum256([]byte(text))
	return "link/" + hex.EncodeToString(sum[:16])
}

// Only is the one socket that it can have been, ok false for none and for several.
func (l *Link) Only() (s *Socket, ok bool) {
	if len(l.Sockets) != 1 {
		return nil, false
	}
	return &l.Sockets[0], true
}

// clean is the link before anything was found.
func (l *Link) clean() *Link {
	return &Link{Host: l.Host, Source: l.Source, Responder: l.Responder, Shared: l.Shared, Change: l.Change, Withdrawn: l.Withdrawn}
}

// untold tells a link that may be of another host's and fits nothing on this one.
func (e *Event) untold() bool {
	return e.Link != nil && e.Link.Shared && len(e.Link.Sockets) == 0
}

// otherEnd is the field that has f's value from the other end's point of view.
func otherEnd(f event.Field) event.Field {
	switch f {
	case event.LocalAddress:
		return event.RemoteAddress
	case event.LocalPort:
		return event.RemotePort
	case event.RemoteAddress:
		return event.LocalAddress
	case event.RemotePort:
		return event.LocalPort
	}
	return f
}

// opened is what a side record's envelope holds, as an input.
func opened(in Input, s *Side) Input {
	inner := Input{Key: in.Key, Value: s.Value, Position: s.Position, Appended: s.Appended, read: in.place()}
	if len(inner.Key) == 0 { // on Kafka, where the number of the partition decided
		inner.Key = []byte(s.Host)
	}
	switch s.Kind {
	case SideRow:
		inner.Name = s.Source
	case SideSensor:
		inner.Sensor, inner.link = true, &Link{
			Host: s.Host, Source: s.Source, Responder: s.Responder, Shared: s.Shared, Change: s.Change, Withdrawn: s.Withdrawn,
		}
	}
	return inner
}

// processSide takes a record on that did not come keyed by its host. It moves no clock
// but by rows of the host's own.
func (p *Pipeline) processSide(ctx context.Context, in Input, out *Out) error {
	s, err := ReadSide(in.Value)
	if err != nil {
		p.refuse(in, err, out)
		return nil
	}
	came, err := p.cameBeside(s)
	if err != nil {
		return err
	}
	if came {
		p.stats.Duplicates++
		return nil
	}
	switch s.Kind {
	case SideRow:
		return p.take(ctx, opened(in, s), out)
	case SideSensor:
		inner := opened(in, s)
		if err := p.event.ParseSensor(s.Value); err != nil {
			p.refuse(inner, err, out)
			return nil
		}
		if s.Change > 0 {
			return p.rerouted(ctx, inner, out)
		}
		return p.step(ctx, inner, -1, out)
	}
	for _, op := range p.operators {
		if err := op.OnSide(s, out); err != nil {
			return fmt.Errorf("side record %s: %w", s.Position, err)
		}
	}
	return nil
}

// recallSide takes a side record again that was taken before.
func (p *Pipeline) recallSide(ctx context.Context, in Input) error {
	s, err := ReadSide(in.Value)
	if err != nil {
		return nil //nolint:nilerr // it is a dead letter
	}
	switch s.Kind {
	case SideRow:
		return p.recallRows(ctx, opened(in, s))
	case SideSensor:
		if err := p.again.ParseSensor(s.Value); err != nil {
			return nil //nolint:nilerr // it is a dead letter
		}
		inner := opened(in, s)
		p.replaced(inner.link)
		if s.Withdrawn {
			return nil
		}
		_, err := p.remember(ctx, inner, -1, "")
		return err
	}
	return nil
}

// side is the envelope that a kept link came in.
func (p *pending) side() *Side {
	return &Side{
		Host: p.host, Kind: SideSensor, Time: p.at, Value: p.row, Source: p.link.Source, Position: p.position, Appended: p.appended,
		Responder: p.link.Responder, Shared: p.link.Shared, Change: p.link.Change,
	}
}

// parse reads a kept event's row.
func (p *pending) parse(e *Event) error {
	if p.link != nil {
		return e.ParseSensor(p.row)
	}
	return e.Parse(p.row)
}

// maxSockets is how many sockets a link tells, of those that it may have been.
const maxSockets = 3

// link tells what the record joins.
func (w *writer) link(e *Event) {
	l := e.Link
	if l == nil {
		return
	}
	w.object("link")
	w.Text("source", l.Source)
	end := "origin"
	if l.Responder {
		end = "responder"
	}
	w.Text("end", end)
	if l.Shared {
		w.Truth("shared_address", true)
	}
	w.Text("status", l.status())
	if len(l.Sockets) > 0 {
		w.sockets(l.Sockets[:min(len(l.Sockets), maxSockets)])
	}
	w.Close('}')
}

func (l *Link) status() string {
	switch {
	case l.Withdrawn:
		return "withdrawn"
	case len(l.Sockets) == 0:
		return "unknown"
	case len(l.Sockets) > 1 || l.Shared:
		return "possible"
	}
	return "attributed"
}

func (w *writer) sockets(all []Socket) {
	w.array("sockets")
	for i := range all {
		s := &all[i]
		w.Comma()
		w.Open('{')
		w.Text("event", s.Event)
		w.Number("pid", s.PID)
		w.Text("entity_id", s.EntityID)
		w.Text("executable", w.Clip(s.Executable, maxAncestor))
		w.Time("opened", s.At)
		w.Close('}')
	}
	w.Close(']')
}

// keepLink is what a pending keeps of the event's link.
func keepLink(e *Event) *Link {
	if e.Link == nil {
		return nil
	}
	return e.Link.clean()
}

// SortSockets puts sockets in the order that Link asks for, the latest of each pid.
func SortSockets(all []Socket) []Socket {
	slices.SortFunc(all, func(a, b Socket) int {
		switch {
		case a.PID != b.PID:
			return int(max(-1, min(1, a.PID-b.PID)))
		case !a.At.Equal(b.At):
			return b.At.Compare(a.At)
		case a.Event < b.Event:
			return -1
		}
		return 1
	})
	return slices.CompactFunc(all, func(a, b Socket) bool { return a.PID == b.PID })
}
