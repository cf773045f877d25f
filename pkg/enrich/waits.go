package enrich

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Waiting says how a pipeline treats events whose questions later rows may answer.
type Waiting struct {
	// Wait is how long, in its host's time, an event may still change: it is held
	// that long for an answer, and told again under the same id when a better one
	// comes. It is to be at least twice the longest interval of an event query.
	Wait time.Duration
	// Immediate tells every event at once, and again when an answer comes.
	Immediate bool
	// MaxBytes bounds the rows kept for this, of one partition. Beyond it the oldest
	// are told as they are and no longer change; they are counted.
	MaxBytes int64
	// Keep writes each row that may still change to the state, for an input that
	// cannot be read again from an offset on.
	Keep bool
}

// Defaults of Waiting.
const (
	DefaultWait     = 2 * time.Minute
	DefaultMaxBytes = 64 << 20
)

// Keys in the pipeline's own state, under a host; those of the whole partition are
// under the empty host.
const (
	clockKey    = "c"
	floorKey    = "f"
	revisionKey = "r" // + id: the revision last written, where the row alone does not tell
	parkedKey   = "p" // + id: a row whose host is silent
)

// waits keeps the events that may still change. After a restart they are found again
// by reading the input from its floor on: whether an event waits, and what was told
// of it, follows from the row and the joins' state, but for the revision of one that
// was told again, or told before it was answered; that the state has.
type waits struct {
	cfg   Waiting
	state State
	seed  maphash.Seed
	hosts map[Host]*queue
	ids   map[string]*pending
	// topics have them as they came, for the floors; parked are those no floor
	// waits for.
	topics map[string]*arrivals
	parked []*pending
	// unparked are those of parked that are gone.
	unparked int
	bytes    int64
}

// arrivals are one topic's pendings in the order of their offsets.
type arrivals struct {
	all   []*pending
	floor int64 // as it is in the state
	next  int64 // the offset after the last row seen
}

func newWaits(cfg Waiting, state State) *waits {
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	return &waits{
		cfg: cfg, state: state, seed: maphash.MakeSeed(),
		hosts: map[Host]*queue{}, ids: map[string]*pending{}, topics: map[string]*arrivals{},
	}
}

// mayChange tells whether rows that come later can change what is told of e.
func mayChange(e *Event) bool {
	return e.Host != "" && !e.Lens.Inventory && (e.asked != 0 || e.Kind == event.Socket || e.Link != nil)
}

// open tells whether a question is open that a later row may answer.
func open(e *Event) bool {
	return slices.ContainsFunc(e.Gaps, func(g Gap) bool { return g.Reason == ProcessUnknown || g.Reason == NameUnknown })
}

// add keeps an event that happened at a time that its host's clock still has in its
// window, and returns what stands for it, or nil.
func (w *waits) add(e *Event, at, hostNow, taken time.Time, sub int) *pending {
	if e.Link != nil {
		at = at.Add(e.Link.Slack)
	}
	if !mayChange(e) || hostNow.Sub(at) > w.cfg.Wait || w.ids[e.ID] != nil {
		return nil
	}
	p := &pending{
		id: e.ID, host: e.Host, row: slices.Clone(e.Raw), position: e.Position, appended: e.Appended, sub: sub,
		at: at, taken: taken, held: (!w.cfg.Immediate || e.untold()) && open(e), asked: e.asked, remote: remoteOf(e), lacks: lacking(e),
		link: keepLink(e), read: e.read,
		unnamed: slices.ContainsFunc(e.Gaps, func(g Gap) bool { return g.Reason == NoDelivery }),
	}
	w.keep(p)
	came := w.arrivals(p.read.Topic)
	came.all = append(came.all, p)
	return p
}

func (w *waits) keep(p *pending) {
	q := w.hosts[p.host]
	if q == nil {
		q = &queue{}
		w.hosts[p.host] = q
	}
	q.add(p)
	w.ids[p.id] = p
	w.bytes += p.weight()
}

func (w *waits) arrivals(topic string) *arrivals {
	came := w.topics[topic]
	if came == nil {
		came = &arrivals{floor: -1}
		w.topics[topic] = came
	}
	return came
}

func remoteOf(e *Event) netip.Addr {
	a, _ := netip.ParseAddr(e.Text(event.RemoteAddress))
	return a.Unmap()
}

// told notes that a revision of p was written. The state needs to know of it where
// a reader of the row would think otherwise.
func (w *waits) told(p *pending, answered bool) error {
	p.held = false
	if p.revision == 0 && (answered || w.cfg.Immediate) {
		return nil
	}
	p.noted = true
	if err := w.state.Put(p.host, key(revisionKey, p.id), binary.AppendUvarint(nil, uint64(p.revision))); err != nil {
		return fmt.Errorf("revision of %s: %w", p.id, err)
	}
	return nil
}

// drop forgets what can no longer change. The caller has told it and takes it out of
// its host's queue.
func (w *waits) drop(p *pending) error {
	if p.noted {
		if err := w.state.Delete(p.host, key(revisionKey, p.id)); err != nil {
			return fmt.Errorf("revision of %s: %w", p.id, err)
		}
	}
	if p.parked {
		if err := w.state.Delete(p.host, key(parkedKey, p.id)); err != nil {
			return fmt.Errorf("parked row %s: %w", p.id, err)
		}
		w.unparked++
	}
	w.forget(p)
	return nil
}

// forget is drop for what the state knows nothing of, or another p's.
func (w *waits) forget(p *pending) {
	w.bytes -= p.weight()
	p.gone, p.row = true, nil
	w.tidy()
	delete(w.ids, p.id)
	if q := w.hosts[p.host]; q != nil && len(q.all) == 0 {
		delete(w.hosts, p.host)
	}
}

func key(kind, id string) []byte { return append([]byte(kind), id...) }

// oldest returns what came first and still waits, or nil.
func (w *waits) oldest() *pending {
	var first *pending
	for _, came := range w.topics {
		if p := came.head(); p != nil && (first == nil || p.taken.Before(first.taken)) {
			first = p
		}
	}
	if p := w.parkedHead(); p != nil && (first == nil || w.cfg.Keep && p.taken.Before(first.taken)) {
		return p
	}
	return first
}

// parkedHead is the first of the parked rows that is not gone.
func (w *waits) parkedHead() *pending {
	for len(w.parked) > 0 && w.parked[0].gone {
		w.parked[0], w.parked = nil, w.parked[1:]
		w.unparked--
	}
	if len(w.parked) == 0 {
		return nil
	}
	return w.parked[0]
}

// tidy forgets parked rows that are gone, once they are half of all.
func (w *waits) tidy() {
	if w.unparked > 64 && 2*w.unparked > len(w.parked) {
		w.parked = slices.DeleteFunc(w.parked, func(p *pending) bool { return p.gone })
		w.unparked = 0
	}
}

// head drops what is gone from the front and returns the first that is not.
func (a *arrivals) head() *pending {
	for len(a.all) > 0 && (a.all[0].gone || a.all[0].parked) {
		a.all[0] = nil
		a.all = a.all[1:]
	}
	if len(a.all) == 0 {
		return nil
	}
	return a.all[0]
}
