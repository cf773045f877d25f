package shipper

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// Reasons of markers and dead letters, beside the spool's own.
const (
	malformed    = "malformed"
	unknownCall  = "unknown_call"
	oversized    = "oversized"
	refused      = "refused"
	unreadable   = "unreadable"
	unregistered = "unregistered"
	dropped      = "dropped"
)

// Counters counts what a Source made. It is safe for concurrent use.
type Counters struct {
	Records atomic.Uint64 // rows handed out, each time they were
	Markers atomic.Uint64
	// Dead letters, by reason.
	Malformed, UnknownCall, Oversized, Refused atomic.Uint64
}

// LettersByReason is the number of dead letters for each reason there was.
func (c *Counters) LettersByReason() map[string]uint64 {
	all := map[string]uint64{
		malformed: c.Malformed.Load(), unknownCall: c.UnknownCall.Load(), oversized: c.Oversized.Load(), refused: c.Refused.Load(),
	}
	maps.DeleteFunc(all, func(_ string, n uint64) bool { return n == 0 })
	return all
}

func (c *Counters) letter(reason string) {
	switch reason {
	case malformed:
		c.Malformed.Add(1)
	case unknownCall:
		c.UnknownCall.Add(1)
	case oversized:
		c.Oversized.Add(1)
	case refused:
		c.Refused.Add(1)
	}
}

// mark adds the markers of calls that are missing: on their topic, or where
// nothing tells which it was, on every topic that this agent has sent to.
func (s *Source) mark(b *builder, l *spool.Loss) {
	m := event.Marker{Reason: string(l.Reason), From: l.From, Calls: l.Calls, Bytes: l.Bytes}
	if l.Reason == spool.DroppedOldest || l.Reason == spool.DroppedNewest {
		m.Reason, m.Policy = dropped, string(l.Reason)
	}
	run := l.Run
	if run == "" { // damage that left nothing to tell it: that of what follows
		run = s.frame.Run
	}
	topics := []string{s.topic(l.Stream)}
	if l.Stream == "" {
		m.Possible = true
		topics = s.knownTopics()
	}
	for _, topic := range topics {
		d := &event.Delivery{Agent: l.Agent, Run: run, Seq: l.To, Rows: 1, Prev: s.prev[topic], Spooled: s.frame.Spooled}
		s.addMarker(b, topic, &m, d)
		s.prev[topic] = callName(run, l.To)
	}
}

func (s *Source) knownTopics() []string {
	topics := slices.Sorted(maps.Keys(s.prev))
	if results := s.topic(extension.StreamResults); !slices.Contains(topics, results) {
		topics = append(topics, results)
	}
	return topics
}

func (s *Source) addMarker(b *builder, topic string, m *event.Marker, d *event.Delivery) {
	start := len(s.buf)
	s.buf = event.AppendDelivery(m.Append(s.buf), d)
	headers := b.rowHeaders(nameHeaders(d, event.SchemaGap), d.Row, string(event.Gap), "")
	b.add(sink.Record{Topic: topic, Key: s.key(nil), Headers: headers, Time: d.Spooled}, start, len(s.buf))
	s.cfg.Counters.Markers.Add(1)
}
