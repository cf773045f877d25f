package enrich

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Input is one record as it was read.
type Input struct {
	Value    []byte
	Position Position
	// Appended is when the record became readable; zero when nobody knows.
	Appended time.Time
}

// Stats counts what went through a pipeline.
type Stats struct {
	Records     int64
	Rows        map[event.Kind]int64
	DeadLetters int64
	Matches     int64
	Gaps        map[string]int64
	// ClockClamped counts rows whose time was too absurd to move a clock.
	ClockClamped int64
}

// NewStats returns counts of nothing.
func NewStats() Stats { return Stats{Rows: map[event.Kind]int64{}, Gaps: map[string]int64{}} }

// Add adds o to s, which NewStats made.
func (s *Stats) Add(o Stats) {
	s.Records += o.Records
	s.DeadLetters += o.DeadLetters
	s.Matches += o.Matches
	s.ClockClamped += o.ClockClamped
	for kind, n := range o.Rows {
		s.Rows[kind] += n
	}
	for reason, n := range o.Gaps {
		s.Gaps[reason] += n
	}
}

// Pipeline takes the records of one partition through its operators and
// lookups. It is for one goroutine.
type Pipeline struct {
	finder    *event.Finder
	operators []Operator
	lookups   []Enricher
	clocks    clocks
	stats     Stats
	event     Event
	row       []byte
	now       func() time.Time
}

// NewPipeline builds a pipeline that owns the operators; lookups are shared.
func NewPipeline(lenses *event.Lenses, operators []Operator, lookups []Enricher) *Pipeline {
	return &Pipeline{
		finder: event.NewFinder(lenses), operators: operators, lookups: lookups,
		clocks: clocks{}, stats: NewStats(), now: time.Now,
	}
}

// TakeStats returns the counts since it was last called.
func (p *Pipeline) TakeStats() Stats {
	taken := p.stats
	p.stats = NewStats()
	return taken
}

// Process takes one record and adds to out what it makes: one enriched record
// per row, or one dead letter for a record that is no row of osquery's. An
// error means that the infrastructure failed; the record has then to be handed
// in again.
func (p *Pipeline) Process(ctx context.Context, in Input, out *Out) error {
	p.stats.Records++
	e := &p.event
	err := e.Parse(in.Value)
	if err == nil && e.Dirty { // shipped by others, who do not mend
		p.row = event.AppendMended(p.row[:0], e.Raw)
		err = e.Parse(p.row)
	}
	if err == nil && (e.HasColumns || e.Delivered || !e.Severity.Empty()) {
		return p.step(ctx, in, -1, out)
	}
	var rows *event.Rows
	if err == nil {
		rows, err = event.SplitResult(in.Value)
	}
	if err != nil {
		p.stats.DeadLetters++
		out.Add(deadLetter(in, "malformed", err.Error(), p.now()))
		return nil
	}
	for i := range rows.Records() {
		p.row = rows.AppendRow(p.row[:0], i)
		if err := e.Parse(p.row); err != nil {
			return fmt.Errorf("row %d of %s: %w", i, in.Position, err)
		}
		if err := p.step(ctx, in, i, out); err != nil {
			return err
		}
	}
	return nil
}

// step takes the row in p.event on. sub is its number in the record, or -1 when
// the record is the row.
func (p *Pipeline) step(ctx context.Context, in Input, sub int, out *Out) error {
	e := &p.event
	p.identify(e, in, sub)
	for _, op := range p.operators {
		if err := op.OnEvent(e, out); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	for _, l := range p.lookups {
		if err := l.Enrich(ctx, e); err != nil {
			return fmt.Errorf("event %s: %s: %w", e.ID, l.Name(), err)
		}
	}
	p.count(e)
	value := AppendEnriched(make([]byte, 0, len(e.Raw)+1024), e, p.now())
	out.Add(Output{Stream: Enriched, Key: []byte(e.Host), Value: value, ID: e.ID, Kind: string(e.Kind), Schema: SchemaEnriched})
	return p.tick(e, out)
}

// tick tells the operators when the event moved its host's clock.
func (p *Pipeline) tick(e *Event, out *Out) error {
	now, moved, sane := p.clocks.advance(e)
	if !sane {
		p.stats.ClockClamped++
	}
	if !moved {
		return nil
	}
	for _, op := range p.operators {
		if err := op.OnTime(e.Host, now, out); err != nil {
			return fmt.Errorf("clock of %s: %w", e.Host, err)
		}
	}
	return nil
}

func (p *Pipeline) count(e *Event) {
	p.stats.Rows[e.Kind]++
	p.stats.Matches += int64(len(e.Threats))
	for _, g := range e.Gaps {
		p.stats.Gaps[g.Reason]++
	}
}

// identify fills in what the row itself says: its name, host, kind and time.
func (p *Pipeline) identify(e *Event, in Input, sub int) {
	*e = Event{Row: e.Row, Position: in.Position, Appended: in.Appended, Gaps: e.Gaps[:0], Threats: e.Threats[:0]}
	e.Lens = p.finder.Find(&e.Row)
	e.Kind = kindOf(e)
	if e.Delivered && e.Delivery.Agent != "" {
		e.ID, e.Host = e.Delivery.Name(), Host(e.Delivery.Agent)
	} else {
		e.ID, e.Host = in.Position.String(), Host(e.HostIdentifier.Text())
		if sub >= 0 {
			e.ID += "/" + strconv.Itoa(sub)
		}
	}
	if e.Host == "" {
		e.AddGap("host", HostUnknown)
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
