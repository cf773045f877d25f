package cloud

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Keys in the State, under a host.
const (
	recordKey     = 'h'
	callKey       = 'c' // + time, id
	sightingKey   = 's' // + time, event id
	mountKey      = 'm' // + path
	credentialKey = 'k' // + access key, address
	wordKey       = 'w' // + access key, address
)

// host is what is known of one host, decoded. All of it is in the State too, but for
// what is worked out from the facts.
type host struct {
	id     enrich.Host
	record record
	// rowsKey is what its last row was keyed by, since this was read.
	rowsKey string
	// calls and seen are in order of time.
	calls       []*call
	seen        []*sighting
	mounts      map[string]*mount
	credentials map[string]*credential
	// words are what was counted of the processes behind calls, by key and address: of
	// the host's own, and of an instance what its host says.
	words map[string]*tally
	// dirty counts the calls that something new may answer, and unsure are the
	// credentials to be judged; all of them are again at judgeAt by the host's clock.
	// The record is kept again at recordAt.
	dirty             int
	unsure            map[string]bool
	judgeAt, recordAt time.Time

	// now is the instance that it is, as was found at resolved; cloud and labelled are
	// what is told of it, and logins what was found of its logins since.
	now      claim
	resolved time.Time
	cloud    enrich.Cloud
	labelled []Labelled
	logins   map[string][]byte
}

// record is what is kept once for a host.
type record struct {
	// Sensor tells a host that sends rows from an instance that only CloudTrail tells of.
	Sensor    bool      `json:"sensor,omitempty"`
	Name      string    `json:"name,omitempty"`
	Claim     claim     `json:"claim,omitzero"`
	Addresses []string  `json:"addresses,omitempty"`
	Clock     time.Time `json:"clock,omitzero"`
	SweepAt   time.Time `json:"sweep_at,omitzero"`
	// Known is the instance that the host said it is, and by which name.
	Known string `json:"known,omitempty"`
	// Is, of what is kept under an instance's id, is the host that it is, and IsNamed
	// its name.
	Is      enrich.Host `json:"is,omitempty"`
	IsNamed string      `json:"is_named,omitempty"`
}

func (o *Operator) host(id enrich.Host) (*host, error) {
	if h := o.hosts[id]; h != nil {
		return h, nil
	}
	h := &host{
		id: id, mounts: map[string]*mount{}, credentials: map[string]*credential{}, words: map[string]*tally{}, unsure: map[string]bool{},
		logins: map[string][]byte{},
	}
	err := o.state.Scan(id, nil, func(key, value []byte) error { return h.load(key, value) })
	if err != nil {
		return nil, fmt.Errorf("cloud of %s: %w", id, err)
	}
	for _, c := range h.calls {
		h.ask(c)
	}
	if h.doubt(); o.notes {
		for _, k := range h.credentials {
			o.cfg.Uses.Add(k.use())
		}
	}
	o.hosts[id] = h
	return h, nil
}

func (h *host) load(key, value []byte) (err error) {
	switch key[0] {
	case recordKey:
		err = json.Unmarshal(value, &h.record)
	case callKey:
		c := &call{}
		err = decodeMember(value, c)
		h.calls = append(h.calls, c)
	case sightingKey:
		s := &sighting{}
		err = json.Unmarshal(value, s)
		h.seen = append(h.seen, s)
	case mountKey:
		m := &mount{}
		err = json.Unmarshal(value, m)
		h.mounts[m.Path] = m
	case wordKey:
		t := &tally{}
		err = json.Unmarshal(value, t)
		h.words[t.name()] = t
	case credentialKey:
		k := &credential{}
		err = decodeMember(value, k)
		h.credentials[k.name()] = k
	}
	if err != nil {
		return fmt.Errorf("state at %q: %w", key, err)
	}
	return nil
}

// timed is a key in order of time.
func timed(kind byte, at time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{kind}, uint64(at.UnixNano())^1<<63), id...)
}

func keyed(kind byte, name string) []byte { return append([]byte{kind}, name...) }

// ask notes that something new may answer a call.
func (h *host) ask(c *call) {
	if !c.dirty {
		c.dirty = true
		h.dirty++
	}
}

// asked notes that a call was answered, or is dropped.
func (h *host) asked(c *call) {
	if c.dirty {
		c.dirty = false
		h.dirty--
	}
}

// busy tells a host of which something is kept that its clock matters to.
func (h *host) busy() bool { return len(h.calls)+len(h.seen)+len(h.credentials) > 0 }

// doubt has all credentials judged again.
func (h *host) doubt() {
	for name := range h.credentials {
		h.unsure[name] = true
	}
}

func (o *Operator) put(h *host, key []byte, v any) error {
	if err := o.state.Put(h.id, key, encode(v)); err != nil {
		return fmt.Errorf("cloud of %s: %w", h.id, err)
	}
	return nil
}

func (o *Operator) drop(h *host, key []byte) error {
	if err := o.state.Delete(h.id, key); err != nil {
		return fmt.Errorf("cloud of %s: %w", h.id, err)
	}
	return nil
}

func (o *Operator) putRecord(h *host) error { return o.put(h, []byte{recordKey}, &h.record) }

// changed is what is to be put into the State before the next commit: what comes often
// for one thing is put once.
type changed struct {
	calls       map[*call]*host
	credentials map[*credential]*host
}

func newChanged() changed {
	return changed{map[*call]*host{}, map[*credential]*host{}}
}

// Seal implements enrich.Sealer.
func (o *Operator) Seal() error {
	for c, h := range o.changed.calls {
		if err := o.put(h, c.place(), c); err != nil {
			return err
		}
	}
	for k, h := range o.changed.credentials {
		if err := o.put(h, keyed(credentialKey, k.name()), k); err != nil {
			return err
		}
	}
	clear(o.changed.calls)
	clear(o.changed.credentials)
	if len(o.hosts) > o.cfg.MaxCached {
		clear(o.hosts) // the State has all of it
	}
	return nil
}

// place is a call's key: that of data events stands at their minute, since their first
// moment may still move.
func (c *call) place() []byte { return timed(callKey, c.at(), c.ID) }

// at is the time that a call stands at.
func (c *call) at() time.Time {
	if c.Rolled {
		return c.First.Truncate(time.Minute)
	}
	return c.First
}

// addCall takes a call in, and adds data events to those of their minute.
func (o *Operator) addCall(h *host, c *call) error {
	i, known := slices.BinarySearchFunc(h.calls, c.place(), func(have *call, at []byte) int { return slices.Compare(have.place(), at) })
	switch {
	case known && !c.Rolled:
		return nil
	case known:
		h.calls[i].add(c)
		c = h.calls[i]
	default:
		h.calls = slices.Insert(h.calls, i, c)
	}
	h.ask(c)
	o.changed.calls[c] = h
	if len(h.calls) <= o.cfg.MaxCalls {
		return nil
	}
	o.evicted++
	return o.dropCall(h, 0)
}

func (o *Operator) dropCall(h *host, i int) error {
	c := h.calls[i]
	h.calls = slices.Delete(h.calls, i, i+1)
	h.asked(c)
	delete(o.changed.calls, c)
	return o.drop(h, c.place())
}

// addSighting takes a sighting in; one of the same event replaces it, when more is
// known of its process.
func (o *Operator) addSighting(h *host, s *sighting) error {
	key := timed(sightingKey, s.At, s.Event)
	i, known := slices.BinarySearchFunc(h.seen, s, func(a, b *sighting) int { return byTime(a.At, b.At, a.Event, b.Event) })
	if known {
		h.seen[i] = s
	} else {
		h.seen = slices.Insert(h.seen, i, s)
	}
	for _, c := range h.about(s) {
		h.ask(c)
	}
	if err := o.put(h, key, s); err != nil || len(h.seen) <= o.cfg.MaxSightings {
		return err
	}
	o.evicted++
	oldest := h.seen[0]
	h.seen = h.seen[1:]
	return o.drop(h, timed(sightingKey, oldest.At, oldest.Event))
}

// about are the calls that a sighting may answer. To touch the metadata service counts
// for hours of them.
func (h *host) about(s *sighting) []*call {
	last := s.At.Add(windowBefore)
	if s.What == metadata {
		last = s.At.Add(keyLives)
	}
	from, _ := slices.BinarySearchFunc(h.calls, s.At.Add(-windowAfter-time.Minute), func(c *call, t time.Time) int { return c.at().Compare(t) })
	to := from
	for to < len(h.calls) && !h.calls[to].at().After(last) {
		to++
	}
	return h.calls[from:to]
}

// around are the sightings that may answer a call: those in its window, and those of
// the metadata service while its credentials lived.
func (h *host) around(c *call) []*sighting {
	from, _ := slices.BinarySearchFunc(h.seen, c.First.Add(-keyLives), func(s *sighting, t time.Time) int { return s.At.Compare(t) })
	to := from
	for to < len(h.seen) && !h.seen[to].At.After(c.Last.Add(windowAfter)) {
		to++
	}
	return h.seen[from:to]
}

// keyLives is how long the metadata service's keys hold, about.
const keyLives = 6 * time.Hour

func (h *host) mountList() (all []*mount) {
	for _, m := range h.mounts {
		all = append(all, m)
	}
	return all
}

// passed tells that the host's clock is past a call, so that what was not seen by then
// is not merely late.
func (h *host) passed(c *call, hold time.Duration) bool {
	return !h.record.Clock.Before(c.Last.Add(windowAfter + hold))
}
