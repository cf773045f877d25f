package enrich

import (
	"context"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// processSensor takes a network sensor's record on, or all that one value holds.
// What is none is a dead letter.
func (p *Pipeline) processSensor(ctx context.Context, in Input, out *Out) (err error) {
	if in.Broken != nil {
		p.refuse(in, in.Broken, out)
		return nil
	}
	sub := -1
	event.SplitSensor(in.Value, func(r event.SensorRecord) {
		if err == nil {
			err = p.sensorRecord(ctx, in, &r, sub, out)
		}
		sub = max(sub, 0) + 1
	})
	return err
}

func (p *Pipeline) sensorRecord(ctx context.Context, in Input, r *event.SensorRecord, sub int, out *Out) error {
	e := &p.event
	err := r.Err
	if err == nil {
		err = e.ParseSensor(r.JSON)
	}
	if err == nil && e.Dirty {
		p.row = event.AppendMended(p.row[:0], e.Raw)
		err = e.ParseSensor(p.row)
	}
	if err != nil {
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
