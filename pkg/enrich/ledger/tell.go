package ledger

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Words of a loss that no marker explains.
const (
	wordLost = "lost"
	wordRows = "rows"
)

// covers tells whether e is a marker that stands in the place of whole calls.
func covers(e *enrich.Event) bool {
	return e.Kind == event.Gap && (count(e, "calls") > 0 || count(e, "from") > 0)
}

// count is a member of a marker, 0 where there is none.
func count(e *enrich.Event, name string) uint64 {
	v, _ := e.Decoration(name)
	n, err := strconv.ParseUint(string(v.Raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func text(e *enrich.Event, name string) string {
	v, _ := e.Decoration(name)
	return v.Text()
}

func moment(e *enrich.Event, name string) time.Time {
	t, err := time.Parse(time.RFC3339, text(e, name))
	if err != nil {
		return time.Time{}
	}
	return t
}

// reason is the marker's reason, or the word for none that we know.
func reason(e *enrich.Event) string {
	switch word := text(e, "reason"); word {
	case "dropped", "unwritable", "damaged", "oversized", "refused", "unreadable", "unregistered":
		return word
	}
	return wordLost
}

func markerHole(e *enrich.Event, s *stream) *hole {
	return &hole{
		marker: true, word: reason(e), policy: text(e, "policy"), from: count(e, "from"), calls: count(e, "calls"),
		bytes: int64(min(count(e, "bytes"), 1<<62)), possible: text(e, "possible") == "true", since: s.spooled, until: e.Delivery.Spooled,
	}
}

// loss begins a finding of telemetry_gap.
func (l *Ledger) loss(s *stream, e *enrich.Event, trigger ...string) *finding.Finding {
	f := &finding.Finding{
		ID:   finding.ID(finding.TelemetryGap, append([]string{string(s.host.name), s.run}, trigger...)...),
		Rule: finding.TelemetryGap, Title: "Telemetry of a host is missing", Status: finding.Open, Severity: finding.Medium, Confidence: 100,
		Count: 1, Host: s.host.name, HostName: s.host.identifier,
		Loss: &finding.Loss{Agent: string(s.host.name), Run: s.run, Topic: s.topic},
	}
	if e != nil {
		f.Evidence = evidence(e)
	}
	return f
}

// times sets when a loss was from what bounds it.
func times(f *finding.Finding) {
	f.FirstSeen, f.LastSeen = f.Loss.Since, f.Loss.Until
	if f.FirstSeen.IsZero() {
		f.FirstSeen = f.LastSeen
	}
}

// holeFinding is what there is to say of the missing calls of span i.
func (l *Ledger) holeFinding(s *stream, i int, e *enrich.Event) *finding.Finding {
	p, low := &s.spans[i], s.from(i)
	g, topic := p.hole, s.topic
	if g.possible {
		topic = "" // one loss, however many topics it is told on
	}
	f := l.loss(s, e, topic, strconv.FormatUint(p.to, 10))
	f.Revision = g.revision
	f.Loss.Word, f.Loss.Policy, f.Loss.Topic, f.Loss.To = g.word, g.policy, topic, p.to
	if f.Loss.Word == "" {
		f.Loss.Word = wordLost
	}
	f.Loss.Possible, f.Loss.Bytes, f.Loss.Since, f.Loss.Until = g.possible, g.bytes, g.since, g.until
	if f.Loss.From = max(low, g.from); i == 0 && g.from == 0 {
		f.Loss.From = 0 // how far the run before reached is told there
	}
	if f.Loss.Calls = g.calls; g.calls == 0 {
		f.Loss.Calls, f.Loss.AtLeast = 1, f.Loss.From != p.to
	}
	if g.possible {
		f.Confidence = 50
	}
	times(f)
	f.Reason = sentence(f.Loss, s.host.label())
	return f
}

// tellHole tells of the missing calls of span i, or tells anew.
func (l *Ledger) tellHole(s *stream, i int, e *enrich.Event, out *enrich.Out) {
	g := s.spans[i].hole
	if g.possible && !g.told && s.twin(s.spans[i].to) {
		return
	}
	f := l.holeFinding(s, i, e)
	g.told = true
	g.revision++
	l.tell(f, out)
}

// twin tells whether the same loss stands on another topic, where it was told.
func (s *stream) twin(seq uint64) bool {
	for _, o := range s.host.streams {
		if o == s || o.run != s.run {
			continue
		}
		if i := o.at(seq); i < len(o.spans) && o.spans[i].to == seq && o.spans[i].what == missing && o.spans[i].hole.possible && o.spans[i].hole.told {
			return true
		}
	}
	return false
}

// retract withdraws the finding of span i, whose last call came.
func (l *Ledger) retract(s *stream, i int, e *enrich.Event, out *enrich.Out) {
	g := s.spans[i].hole
	if !g.told || g.possible && s.twin(s.spans[i].to) {
		return
	}
	f := l.holeFinding(s, i, e)
	f.Status = finding.Retracted
	f.Reason = fmt.Sprintf("Call %d of host %s came after all.", s.spans[i].to, s.host.label())
	l.tell(f, out)
}

// tellMarker tells of the calls that the marker e stands for.
func (l *Ledger) tellMarker(s *stream, e *enrich.Event, out *enrich.Out) {
	if i := s.at(e.Delivery.Seq); covers(e) && i < len(s.spans) && s.spans[i].what == missing {
		l.tellHole(s, i, e, out)
	}
}

// place tells of a marker in the place of a row or an unreadable call, or of an
// absence. Its row counts as one that came, and is told once.
func (l *Ledger) place(s *stream, e *enrich.Event, out *enrich.Out) {
	if e.Kind != event.Gap || covers(e) {
		return
	}
	d := &e.Delivery
	f := l.loss(s, e, s.topic, strconv.FormatUint(d.Seq, 10), "row", strconv.Itoa(d.Row))
	f.Loss.Word, f.Loss.Bytes = reason(e), int64(min(count(e, "bytes"), 1<<62))
	f.Loss.Until = d.Spooled
	switch f.Loss.Word {
	case "unregistered":
		f.Loss.Since, f.Loss.Until = moment(e, "since"), moment(e, "until")
	case "oversized", "refused":
		f.Loss.To, f.Loss.Rows, f.Loss.RowCount = d.Seq, strconv.Itoa(d.Row), 1
		f.Severity = finding.Low // the dead letter has it
	default:
		f.Loss.To, f.Loss.Calls = d.Seq, 1
		f.Severity = finding.Low
	}
	times(f)
	f.Reason = sentence(f.Loss, s.host.label())
	l.tell(f, out)
}

// tellRows tells which rows of a call are missing, or that none is any more.
func (l *Ledger) tellRows(s *stream, c *call, e *enrich.Event, out *enrich.Out) {
	left := c.missing()
	if left == c.told {
		return
	}
	f := l.loss(s, e, s.topic, strconv.FormatUint(c.seq, 10), "rows")
	if e == nil {
		f.Evidence = []finding.Evidence{{ID: s.name(c.seq) + "/" + strconv.FormatUint(c.have[0].from, 10)}}
	}
	f.Revision = c.revision
	f.Loss.Word, f.Loss.To, f.Loss.Rows, f.Loss.RowCount, f.Loss.Until = wordRows, c.seq, c.missingRows(), left, c.spooled
	times(f)
	f.Reason = sentence(f.Loss, s.host.label())
	if left == 0 {
		f.Status, f.Reason = finding.Retracted, fmt.Sprintf("All rows of call %d of host %s came after all.", c.seq, s.host.label())
	}
	c.told = left
	c.revision++
	l.tell(f, out)
}
