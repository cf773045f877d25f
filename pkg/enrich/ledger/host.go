package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// host is what is known of one agent, or of one hostIdentifier whose rows have no
// name.
type host struct {
	name    enrich.Host
	streams []*stream // in the order in which their runs began
	last    *stream   // of the row before
	open    int       // streams with a call whose rows still come

	clock, sweepAt time.Time
	// appended is when its last row was, saved what the State has of that.
	appended, saved time.Time
	beats           bool // it sent a heartbeat: silence then means something
	silent          *alarm
	// unnamed are the topics on which it sends rows without a name.
	unnamed []string

	identity
	dirty bool
}

// alarm is a finding about the host that is open.
type alarm struct {
	with     string // the other agent of a conflict
	since    time.Time
	at       time.Time // when it was last told
	revision int64
	count    int64
}

func (l *Ledger) host(name enrich.Host) *host {
	if l.last != nil && l.last.name == name {
		return l.last
	}
	h := l.hosts[name]
	if h == nil {
		h = &host{name: name}
		l.hosts[name] = h
	}
	l.last = h
	return h
}

// stream is the host's stream of that run and topic; it is made when there is none.
func (h *host) stream(run, topic string) *stream {
	if s := h.last; s != nil && s.run == run && s.topic == topic {
		return s
	}
	s := h.find(run, topic)
	if s == nil {
		s = &stream{host: h, run: run, topic: topic}
		if len(h.streams) > 0 {
			s.born = h.streams[len(h.streams)-1].born + 1
		}
		h.streams = append(h.streams, s)
		h.sweepAt = time.Time{} // there may be too many
	}
	h.last = s
	return s
}

func (h *host) find(run, topic string) *stream {
	for _, s := range h.streams {
		if s.run == run && s.topic == topic {
			return s
		}
	}
	return nil
}

// time is what runs grow old by: a row that comes again may be as old as the spool it
// waited in, and the rows beside it may bring the host's clock on by weeks.
func (h *host) time() time.Time {
	if h.appended.IsZero() {
		return h.clock
	}
	return h.appended
}

// noName counts a row that another shipper sent, or logger-ext with built_in_names.
// The first of a host and topic says that nothing is counted there.
func (l *Ledger) noName(h *host, e *enrich.Event) {
	l.stats.Unnamed++
	topic := topicOf(e)
	if slices.Contains(h.unnamed, topic) {
		return
	}
	if len(h.unnamed) == 0 {
		l.stats.UnnamedHosts++
		e.AddGap("delivery", enrich.NoDelivery)
	}
	h.unnamed = append(h.unnamed, topic)
	l.unnamed[topic] = true
	l.changed(h)
}

// topicOf is what calls are counted on: a topic, or a file that holds one.
func topicOf(e *enrich.Event) string {
	if e.Position.File != "" {
		return e.Position.File
	}
	return e.Position.Topic
}

// saving is how far a time that only matters for forgetting may run ahead of the
// State.
const saving = time.Hour

// alive notes that the host sends. A silence that was told has then ended.
func (l *Ledger) alive(h *host, e *enrich.Event, out *enrich.Out) {
	if e.Kind == event.Heartbeat && !h.beats {
		h.beats = true
		l.changed(h)
	}
	if !e.Appended.After(h.appended) {
		return
	}
	h.appended = e.Appended
	l.flow(e.Appended)
	if h.beats || h.appended.Sub(h.saved) > saving {
		h.saved = h.appended
		l.changed(h)
	}
	if h.silent != nil {
		l.tellSilence(h, e.Appended, finding.Retracted, out)
		h.silent = nil
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (l *Ledger) silence() time.Duration { return 3 * l.cfg.Heartbeat }

// flow notes an append time. A long time without any is an outage, of the brokers or
// of ours, which says nothing about the hosts.
func (l *Ledger) flow(now time.Time) {
	if now.Sub(l.latest) > l.cfg.Heartbeat {
		l.resumed = now
	}
	if now.After(l.latest) {
		l.latest = now
	}
}

// watch tells of a host that fell silent, and forgets one that was so for long.
func (l *Ledger) watch(h *host, now time.Time, out *enrich.Out) error {
	if !h.appended.IsZero() && now.Sub(h.appended) > l.cfg.Forget {
		return l.forget(h)
	}
	if !h.beats || h.silent != nil || h.appended.IsZero() {
		return nil
	}
	from := h.appended
	if l.resumed.After(from) {
		from = l.resumed
	}
	if end := from.Add(l.silence()); now.Before(end) {
		l.due = earlier(l.due, end)
		return nil
	}
	h.silent = &alarm{since: h.appended}
	l.tellSilence(h, now, finding.Open, out)
	l.changed(h)
	return nil
}

func (l *Ledger) tellSilence(h *host, now time.Time, status finding.Status, out *enrich.Out) {
	since := h.silent.since
	f := &finding.Finding{
		ID:       finding.ID(finding.HostSilent, string(h.name), since.UTC().Format(time.RFC3339Nano)),
		Revision: h.silent.revision, Rule: finding.HostSilent, Title: "A host fell silent", Status: status, Severity: finding.Medium, Confidence: 80,
		FirstSeen: since, LastSeen: now, Count: 1, Techniques: []string{"T1562.001"}, Host: h.name, HostName: h.identifier,
	}
	f.Reason = fmt.Sprintf("Neither a row nor a heartbeat of host %s was appended since %s, for three heartbeats' time.", h.label(), stamp(since))
	if status == finding.Retracted {
		f.Reason = fmt.Sprintf("Host %s sends again since %s; nothing of it was appended since %s.", h.label(), stamp(now), stamp(since))
	}
	h.silent.revision++
	l.tell(f, out)
}

func (l *Ledger) tell(f *finding.Finding, out *enrich.Out) {
	l.stats.Findings++
	f.Revision += l.cfg.Revision
	out.Add(f.Output(l.cfg.Now()))
}

// label is what a person calls the host.
func (h *host) label() string {
	if h.identifier == "" {
		return string(h.name)
	}
	return h.identifier + " (" + string(h.name) + ")"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// forget removes all that is known of a host.
func (l *Ledger) forget(h *host) error {
	for _, s := range slices.Clone(h.streams) {
		if err := l.drop(s); err != nil {
			return err
		}
	}
	if l.holders[h.identifier] == h {
		delete(l.holders, h.identifier)
	}
	delete(l.hosts, h.name)
	l.last = nil
	l.dirtyHosts = slices.DeleteFunc(l.dirtyHosts, func(o *host) bool { return o == h })
	if err := l.state.Delete(h.name, hostKey()); err != nil {
		return fmt.Errorf("ledger of %s: %w", h.name, err)
	}
	return nil
}

// forgetRuns forgets the runs that others followed long ago, and those over the cap.
// The newest run of a topic always stays: the next names it.
func (l *Ledger) forgetRuns(h *host, now time.Time) error {
	newer := map[string]int{}
	for _, s := range slices.Backward(slices.Clone(h.streams)) {
		newer[s.topic]++
		if s.seen.IsZero() {
			s.seen = now
		}
		old := newer[s.topic] > 1 && now.Sub(s.seen) > l.cfg.OldRun
		if over := newer[s.topic] > l.cfg.MaxRuns; !old && !over {
			continue
		} else if over {
			l.stats.Merged++
		}
		if err := l.drop(s); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets a stream.
func (l *Ledger) drop(s *stream) error {
	h := s.host
	if s.opened {
		h.open--
	}
	h.last = nil
	h.streams = slices.DeleteFunc(h.streams, func(o *stream) bool { return o == s })
	l.dirtyStreams = slices.DeleteFunc(l.dirtyStreams, func(o *stream) bool { return o == s })
	if err := l.state.Delete(h.name, s.key()); err != nil {
		return fmt.Errorf("ledger of %s: %w", h.name, err)
	}
	return nil
}
