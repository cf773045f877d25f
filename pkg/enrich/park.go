package enrich

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How far a floor may stay behind before what it waits for is parked: a host that
// went silent would hold it for ever. A parked row is forgotten after maxParked.
const (
	parkAfterWaits   = 4
	parkAfterRecords = 100_000
	maxParked        = 7 * 24 * time.Hour
)

// seal writes what a restart needs to find the pendings again: the floors, and the
// rows that no floor waits for.
func (w *waits) seal(now time.Time) error {
	for topic, came := range w.topics {
		if err := w.park(came, now); err != nil {
			return err
		}
		if w.cfg.Keep {
			continue
		}
		if err := w.sealFloor(topic, came); err != nil {
			return err
		}
	}
	return w.expireParked(now)
}

func (w *waits) sealFloor(topic string, came *arrivals) error {
	if topic == "" {
		return nil // files are not read again
	}
	floor := came.next
	if p := came.head(); p != nil {
		floor = p.read.Offset
	}
	if floor == came.floor {
		return nil
	}
	came.floor = floor
	if err := w.state.Put("", key(floorKey, topic), binary.AppendUvarint(nil, uint64(floor))); err != nil {
		return fmt.Errorf("floor of %s: %w", topic, err)
	}
	return nil
}

func (w *waits) park(came *arrivals, now time.Time) error {
	for {
		p := came.head()
		if p == nil || !w.cfg.Keep && now.Sub(p.taken) < parkAfterWaits*w.cfg.Wait && came.next-p.read.Offset < parkAfterRecords {
			return nil
		}
		if err := w.parkOne(p); err != nil {
			return err
		}
	}
}

func (w *waits) parkOne(p *pending) error {
	b, err := appendParked(nil, p)
	if err != nil {
		return fmt.Errorf("park row %s: %w", p.id, err)
	}
	if err := w.state.Put(p.host, key(parkedKey, p.id), b); err != nil {
		return fmt.Errorf("park row %s: %w", p.id, err)
	}
	p.parked = true
	w.parked = append(w.parked, p)
	return nil
}

// Park writes every row that may still change to the state, so that none is found by
// its place in an input any more, and returns how many it wrote. It is called after
// Resume, in place of Process, when hosts are about to move to other partitions.
func (p *Pipeline) Park() (rows int, err error) {
	if p.waits == nil {
		return 0, nil
	}
	for _, came := range p.waits.topics {
		for kept := came.head(); kept != nil; kept = came.head() {
			if err := p.waits.parkOne(kept); err != nil {
				return rows, err
			}
			rows++
		}
	}
	return rows, nil
}

func (w *waits) expireParked(now time.Time) error {
	for p := w.parkedHead(); p != nil && now.Sub(p.taken) > maxParked; p = w.parkedHead() {
		w.hosts[p.host].remove(p)
		if err := w.drop(p); err != nil {
			return err
		}
	}
	return nil
}

// The first byte of what is parked: a row, or the envelope of a link.
const (
	parkedRow1  = 1
	parkedLink1 = 2
)

// appendParked appends what it is, then its place and the row.
func appendParked(dst []byte, p *pending) (_ []byte, err error) {
	what, row := byte(parkedRow1), p.row
	if p.link != nil {
		what = parkedLink1
		if row, err = p.side().Append(nil); err != nil {
			return nil, err
		}
	}
	dst = append(dst, what)
	for _, text := range []string{p.position.Topic, p.position.File} {
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	for _, n := range []int64{int64(p.position.Partition), p.position.Offset, p.position.Line, int64(p.sub), nanos(p.appended), nanos(p.taken)} {
		dst = binary.AppendVarint(dst, n)
	}
	return append(dst, row...), nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

var errParked = errors.New("not a parked row of a version that is known")

// parkedRow is what a parked row is read into.
type parkedRow struct {
	id    string
	in    Input
	sub   int
	taken time.Time
}

func decodeParked(b []byte) (r parkedRow, err error) {
	if len(b) == 0 || b[0] != parkedRow1 && b[0] != parkedLink1 {
		return r, errParked
	}
	link := b[0] == parkedLink1
	b = b[1:]
	for _, text := range []*string{&r.in.Position.Topic, &r.in.Position.File} {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return r, errParked
		}
		*text, b = string(b[used:used+int(n)]), b[used+int(n):]
	}
	var numbers [6]int64
	for i := range numbers {
		n, used := binary.Varint(b)
		if used <= 0 {
			return r, errParked
		}
		numbers[i], b = n, b[used:]
	}
	r.in.Position.Partition, r.in.Position.Offset, r.in.Position.Line = int32(numbers[0]), numbers[1], numbers[2]
	r.sub, r.in.Appended, r.taken = int(numbers[3]), fromNanos(numbers[4]), fromNanos(numbers[5])
	r.in.Value = slices.Clone(b)
	if !link {
		return r, nil
	}
	s, err := ReadSide(r.in.Value)
	if err != nil {
		return r, err
	}
	r.in = opened(r.in, s)
	return r, nil
}

// Reread shows the records of an input topic from an offset on, up to where the
// partition was committed.
type Reread func(ctx context.Context, topic string, from int64, visit func(Input) error) error

// Resume finds the events again that may still change, after the pipeline was built
// over a state that others wrote. It is called once, before Process.
func (p *Pipeline) Resume(ctx context.Context, reread Reread) error {
	if p.waits == nil {
		return nil
	}
	if err := p.unpark(ctx); err != nil {
		return err
	}
	floors := map[string]int64{}
	err := p.waits.state.Scan("", []byte(floorKey), func(k, v []byte) error {
		n, used := binary.Uvarint(v)
		if used <= 0 {
			return fmt.Errorf("floor of %s: not a number", k[len(floorKey):])
		}
		floors[string(k[len(floorKey):])] = int64(n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	for topic, floor := range floors {
		came := p.waits.arrivals(topic)
		came.floor, came.next = floor, floor
		if err := reread(ctx, topic, floor, func(in Input) error { return p.recall(ctx, in) }); err != nil {
			return fmt.Errorf("resume %s from offset %d: %w", topic, floor, err)
		}
	}
	return nil
}

func (p *Pipeline) unpark(ctx context.Context) error {
	var rows []parkedRow
	err := p.waits.state.Hosts(func(host Host) error {
		return p.waits.state.Scan(host, []byte(parkedKey), func(k, v []byte) error {
			row, err := decodeParked(v)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", host, k[len(parkedKey):], err)
			}
			row.id = string(k[len(parkedKey):])
			rows = append(rows, row)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b parkedRow) int {
		return cmp.Or(a.taken.Compare(b.taken), cmp.Compare(a.in.Position.Offset, b.in.Position.Offset))
	})
	for _, row := range rows {
		parse := p.again.Parse
		if row.in.link != nil {
			parse = p.again.ParseSensor
		}
		if err := parse(row.in.Value); err != nil {
			return fmt.Errorf("resume: row %s: %w", row.in.Position, err)
		}
		row.in.read = Position{File: "parked"} // no floor waits for it
		kept, err := p.remember(ctx, row.in, row.sub, row.id)
		if err != nil {
			return err
		}
		if kept != nil {
			kept.parked, kept.taken = true, row.taken
			p.waits.parked = append(p.waits.parked, kept)
		}
	}
	return nil
}

// recall takes one record that was taken before.
func (p *Pipeline) recall(ctx context.Context, in Input) error {
	came := p.waits.arrivals(in.Position.Topic)
	came.next = max(came.next, in.Position.Offset+1)
	if in.Sensor || in.Broken != nil {
		return nil //nolint:nilerr // neither a sensor's record nor a broken one waits for anything
	}
	if in.Side {
		return p.recallSide(ctx, in)
	}
	return p.recallRows(ctx, in)
}

func (p *Pipeline) recallRows(ctx context.Context, in Input) error {
	err := p.rows(&p.again, in, func(sub int) error {
		_, err := p.remember(ctx, in, sub, "")
		return err
	})
	var none *noRowError
	if errors.As(err, &none) {
		return nil // it is a dead letter
	}
	return err
}

// remember keeps the row in p.again as it was kept before, told or not. id is its
// name where the state tells it.
func (p *Pipeline) remember(ctx context.Context, in Input, sub int, id string) (*pending, error) {
	e := &p.again
	p.identify(e, in, sub)
	if id != "" {
		e.ID = id
	}
	if err := p.answer(ctx, e); err != nil {
		return nil, err
	}
	p.unsure(e)
	now, err := p.clocks.now(e.Host)
	if err != nil {
		return nil, err
	}
	at, _ := sane(e)
	kept := p.waits.add(e, at, now, p.now(), sub)
	if kept == nil {
		return nil, nil
	}
	b, err := p.waits.state.Get(kept.host, key(revisionKey, kept.id))
	if err != nil {
		return nil, fmt.Errorf("revision of %s: %w", kept.id, err)
	}
	if n, used := binary.Uvarint(b); used > 0 {
		kept.held, kept.noted, kept.revision = false, true, int(n)
	}
	e.Revision = p.partial.Base + e.Link.first() + kept.revision
	p.value, kept.answer = appendEnriched(p.value[:0], e, time.Time{}, p.waits.seed, true)
	return kept, nil
}
