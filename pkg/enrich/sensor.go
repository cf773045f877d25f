package enrich

import (
	"context"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// processSensor takes a network sensor's record on, or all that one value holds.
// What is none is a dead letter.
func (p *Pipeline) processSensor(ctx context.Context, in Input, out *Out) error {
	if in.Broken != nil {
		p.refuse(in, in.Broken, out)
		return nil //nolint:nilerr // it is a dead letter
	}
	return splitSensor(in.Value, func(r *event.SensorRecord, sub int) error { return p.sensorRecord(ctx, in, r, sub, out) })
}

// splitSensor visits the records that one value holds, with the number of each, -1 for
// the first.
func splitSensor(value []byte, visit func(r *event.SensorRecord, sub int) error) (err error) {
	sub := -1
	event.SplitSensor(value, func(r event.SensorRecord) {
		if err == nil {
			err = visit(&r, sub)
		}
		sub = max(sub, 0) + 1
	})
	return err
}

// parseSensor reads one record into e.
func (p *Pipeline) parseSensor(e *Event, r *event.SensorRecord) error {
	if r.Err != nil {
		return r.Err
	}
	err := e.ParseSensor(r.JSON)
	if err == nil && e.Dirty {
		p.row = event.AppendMended(p.row[:0], e.Raw)
		err = e.ParseSensor(p.row)
	}
	return err
}

func (p *Pipeline) sensorRecord(ctx context.Context, in Input, r *event.SensorRecord, sub int, out *Out) error {
	if err := p.parseSensor(&p.event, r); err != nil {
		in.Value = r.JSON
		p.refuse(in, err, out)
		return nil
	}
	return p.step(ctx, in, sub, out)
}

// refuse makes a dead letter of a record that cannot be taken.
func (p *Pipeline) refuse(in Input, why error, out *Out) {
	p.stats.DeadLetters++
	out.Add(deadLetter(in, "malformed", why.Error(), p.now()))
}

// sensorGap says why a sensor's record has no kind that joins ask.
func sensorGap(e *Event) string {
	if e.Query.Empty() {
		return ShapeUnknown
	}
	return RecordNotRead
}
