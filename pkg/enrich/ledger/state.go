package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Keys: "h" is the host's own record, "s", topic, NUL and run that of a stream. A
// value begins with the format's number; the rest is in the order of its append.
const format = 1

func hostKey() []byte { return []byte("h") }

func (s *stream) key() []byte { return []byte("s" + s.topic + "\x00" + s.run) }

func (l *Ledger) load() error {
	var names []enrich.Host
	err := l.state.Hosts(func(name enrich.Host) error {
		names = append(names, name)
		return nil
	})
	for i := 0; err == nil && i < len(names); i++ {
		err = l.loadHost(&host{name: names[i]})
	}
	return err
}

func (l *Ledger) loadHost(h *host) error {
	err := l.state.Scan(h.name, nil, func(key, value []byte) error {
		if err := h.take(key, value); err != nil {
			return fmt.Errorf("state of %s, key %q: %w", h.name, key, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	slices.SortStableFunc(h.streams, func(a, b *stream) int { return int(int64(a.born) - int64(b.born)) })
	for _, s := range h.streams {
		if s.opened {
			h.open++
		}
	}
	l.hosts[h.name] = h
	for _, topic := range h.unnamed {
		l.unnamed[topic] = true
	}
	if o := l.holders[h.identifier]; h.identifier != "" && (o == nil || h.held > o.held) {
		l.holders[h.identifier] = h
	}
	if h.appended.After(l.latest) {
		l.latest = h.appended
	}
	return nil
}

// take reads one key of the host.
func (h *host) take(key, value []byte) error {
	r := compact.NewReader(value)
	r.Format(format)
	topic, run, ok := strings.Cut(strings.TrimPrefix(string(key), "s"), "\x00")
	switch {
	case string(key) == "h":
		h.read(r)
	case ok && key[0] == 's':
		s := &stream{host: h, topic: topic, run: run}
		s.read(r)
		h.streams = append(h.streams, s)
	default:
		return errors.New("no key of this version")
	}
	if r.Rest() > 0 {
		r.Fail(errors.New("bytes left over"))
	}
	return r.Err()
}

func (h *host) append(b []byte) []byte {
	b = compact.Number(b, format)
	b = compact.Truth(b, h.beats)
	b = compact.Time(compact.Time(compact.Time(b, h.clock), h.appended), h.saved)
	b = compact.Text(b, h.identifier)
	b = compact.Number(b, h.held)
	b = compact.Time(compact.Time(b, h.took[0]), h.took[1])
	b = compact.Number(b, uint64(len(h.unnamed)))
	for _, topic := range h.unnamed {
		b = compact.Text(b, topic)
	}
	b = compact.Truth(b, h.silent != nil)
	if h.silent != nil {
		b = h.silent.append(b)
	}
	b = compact.Number(b, uint64(len(h.conflicts)))
	for i := range h.conflicts {
		b = h.conflicts[i].append(b)
	}
	return b
}

func (h *host) read(r *compact.Reader) {
	h.beats = r.Truth()
	h.clock, h.appended, h.saved = r.Time(), r.Time(), r.Time()
	h.identifier, h.held = r.Text(), r.Number()
	h.took = [2]time.Time{r.Time(), r.Time()}
	for range r.Length() {
		h.unnamed = append(h.unnamed, r.Text())
	}
	if r.Truth() {
		a := readAlarm(r)
		h.silent = &a
	}
	for range r.Length() {
		h.conflicts = append(h.conflicts, readAlarm(r))
	}
}

func (a *alarm) append(b []byte) []byte {
	return compact.Number(compact.Number(compact.Time(compact.Time(compact.Text(b, a.with), a.since), a.at), uint64(a.revision)), uint64(a.count))
}

func readAlarm(r *compact.Reader) alarm {
	return alarm{with: r.Text(), since: r.Time(), at: r.Time(), revision: int64(r.Number()), count: int64(r.Number())}
}

func (s *stream) append(b []byte) []byte {
	b = compact.Number(compact.Number(compact.Number(b, format), s.born), s.first)
	b = compact.Truth(compact.Truth(compact.Truth(b, s.named), s.opened), s.stirred)
	b = compact.Time(compact.Time(b, s.seen), s.spooled)
	b = compact.Number(b, uint64(len(s.spans)))
	for i := range s.spans {
		p := &s.spans[i]
		b = append(compact.Number(b, p.to), byte(p.what))
		if b = compact.Truth(b, p.hole != nil); p.hole != nil {
			b = p.hole.append(b)
		}
	}
	if s.opened {
		b = s.open.append(b)
	}
	b = compact.Number(b, uint64(len(s.partial)))
	for i := range s.partial {
		b = s.partial[i].append(b)
	}
	return b
}

func (s *stream) read(r *compact.Reader) {
	s.born, s.first = r.Number(), r.Number()
	s.named, s.opened, s.stirred = r.Truth(), r.Truth(), r.Truth()
	s.seen, s.spooled = r.Time(), r.Time()
	for range r.Length() {
		s.spans = append(s.spans, readSpan(r, s.max()))
	}
	if s.opened {
		s.open = readCall(r)
	}
	for range r.Length() {
		s.partial = append(s.partial, readCall(r))
	}
}

func readSpan(r *compact.Reader, below uint64) span {
	p := span{to: r.Number(), what: what(r.Byte())}
	if r.Truth() {
		p.hole = readHole(r)
	}
	hollow := (p.what == missing || p.what == before) && p.hole == nil
	if p.to <= below || p.what > unsure || hollow {
		r.Fail(errors.New("ranges out of order"))
	}
	return p
}

func (h *hole) append(b []byte) []byte {
	b = compact.Truth(compact.Truth(compact.Truth(b, h.marker), h.possible), h.told)
	b = compact.Text(compact.Text(b, h.word), h.policy)
	b = compact.Number(compact.Number(compact.Number(b, h.from), h.calls), uint64(h.bytes))
	return compact.Number(compact.Time(compact.Time(b, h.since), h.until), uint64(h.revision))
}

func readHole(r *compact.Reader) *hole {
	h := &hole{marker: r.Truth(), possible: r.Truth(), told: r.Truth(), word: r.Text(), policy: r.Text()}
	h.from, h.calls, h.bytes = r.Number(), r.Number(), int64(r.Number())
	h.since, h.until, h.revision = r.Time(), r.Time(), int64(r.Number())
	return h
}

func (c *call) append(b []byte) []byte {
	b = compact.Number(compact.Number(compact.Number(compact.Number(b, c.seq), c.rows), c.told), uint64(c.revision))
	b = compact.Time(compact.Time(compact.Truth(b, c.lossy), c.spooled), c.since)
	b = compact.Number(b, uint64(len(c.have)))
	for _, e := range c.have {
		b = compact.Number(compact.Number(b, e.from), e.to)
	}
	return b
}

func readCall(r *compact.Reader) call {
	c := call{seq: r.Number(), rows: r.Number(), told: r.Number(), revision: int64(r.Number()), lossy: r.Truth()}
	c.spooled, c.since = r.Time(), r.Time()
	for range r.Length() {
		c.have = append(c.have, row{r.Number(), r.Number()})
	}
	if len(c.have) == 0 || c.rows == 0 {
		r.Fail(errors.New("a call without rows"))
	}
	return c
}
