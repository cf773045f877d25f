package route

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// Keys of the state, all under the empty host: "k", the time until which a record is
// kept in 8 bytes, 8 bytes of a hash of what it is, and whose it may be: "a" and an
// address, "i" and an instance, or "k", an access key, a zero byte and an instance. The
// value is the record's envelope, for the host nobody.
const (
	keptKey = "k"
	whoAt   = 1 + 8 + 8
	nobody  = enrich.Host("?")
)

// kept is the records that wait for their host, as they are found again.
type kept struct {
	by      map[string][]entry // by whose they may be
	bytes   int64
	changes uint64 // of the facts when the records were last looked through
	looked  time.Time
}

// entry is a record in the state.
type entry struct {
	key   string
	bytes int64
}

func addressOf(addr netip.Addr) string    { return "a" + addr.String() }
func instanceOf(instance string) string   { return "i" + instance }
func issueOf(key, instance string) string { return "k" + key + "\x00" + instance }
func (r *Router) overdue(key string) bool {
	return r.now.After(time.Unix(0, int64(binary.BigEndian.Uint64([]byte(key[1:9])))))
}
func (k *kept) add(who string, e entry)  { k.by[who] = append(k.by[who], e); k.bytes += e.bytes }
func (k *kept) gone(e entry)             { k.bytes -= e.bytes }
func weight(key string, value int) int64 { return int64(len(key) + value + 96) }

// load finds again what is kept in the state.
func (r *Router) load() error {
	r.kept = kept{by: map[string][]entry{}}
	return wrap(r.state.Scan("", []byte(keptKey), func(key, value []byte) error {
		if len(key) <= whoAt {
			return fmt.Errorf("key %x is too short", key)
		}
		r.kept.add(string(key[whoAt:]), entry{string(key), weight(string(key), len(value))})
		return nil
	}))
}

// keep keeps a record until it is known whose it is, for as long as wait.
func (r *Router) keep(who string, s *enrich.Side, wait time.Duration) error {
	s.Host = nobody
	value, err := s.Append(nil)
	if err != nil {
		return wrap(err)
	}
	key := r.keyOf(keptKey, who, s, wait)
	e := entry{string(key), weight(string(key), len(value))}
	if r.kept.bytes+e.bytes > r.cfg.MaxBytes {
		r.count[noRoom]++
		return nil
	}
	r.kept.add(who, e)
	r.count[kepts]++
	return wrap(r.state.Put("", key, value))
}

// keyOf is where a record is kept, for as long as wait.
func (r *Router) keyOf(kind, who string, s *enrich.Side, wait time.Duration) []byte {
	end := byte('o')
	switch {
	case s.Responder:
		end = 'r'
	case s.Kind == enrich.SideUse:
		end = 'u'
	}
	sum := sha256.Sum256(append([]byte(s.Source), end))
	key := binary.BigEndian.AppendUint64([]byte(kind), uint64(r.clock(s).Add(wait).UnixNano()))
	return append(append(key, sum[:8]...), who...)
}

// clock is the partition's time, or the record's where no broker tells one.
func (r *Router) clock(s *enrich.Side) time.Time {
	if r.now.IsZero() {
		return s.Time
	}
	return r.now
}

// lookEvery is how often, by the broker's time, old records are looked for.
const lookEvery = time.Minute

// OnIdle sends what was kept and has a host now, and gives up what waited too long.
func (r *Router) OnIdle(out *enrich.Out) error {
	if err := r.confirm(r.facts.Owners.Changes(), out); err != nil {
		return err
	}
	changes := r.facts.changes()
	due := r.now.Sub(r.kept.looked) >= lookEvery
	if len(r.kept.by) == 0 || changes == r.kept.changes && !due {
		return nil
	}
	if r.kept.changes = changes; due {
		r.kept.looked = r.now
	}
	for who, all := range r.kept.by {
		known := r.knows(who)
		if !known && !due {
			continue
		}
		left, err := r.look(who, all, known, out)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			delete(r.kept.by, who)
		} else {
			r.kept.by[who] = left
		}
	}
	return nil
}

// look takes what may be somebody's on, if that is known, gives up what waited too long,
// and returns what still waits.
func (r *Router) look(who string, all []entry, known bool, out *enrich.Out) (left []entry, err error) {
	for _, e := range all {
		sent := false
		if known {
			if sent, err = r.resolve(who, e, out); err != nil {
				return nil, err
			}
		}
		if !sent && !r.overdue(e.key) {
			left = append(left, e)
			continue
		}
		if !sent {
			r.count[unknown]++
		}
		r.kept.gone(e)
		if err := r.state.Delete("", []byte(e.key)); err != nil {
			return nil, wrap(err)
		}
	}
	return left, nil
}

// known grows with what is known of an address.
func (r *Router) known(who string) uint64 {
	addr, err := netip.ParseAddr(who[1:])
	if err != nil {
		return 0
	}
	return r.facts.Owners.Known(addr)
}

// knows tells whether anything is known of whose that is.
func (r *Router) knows(who string) bool {
	if id, ok := strings.CutPrefix(who, "i"); ok {
		_, known := r.facts.Owners.Instance(id)
		return known
	}
	if key, instance, ok := issue(who); ok {
		return r.facts.trail.IssuedTo(key, instance)
	}
	addr, err := netip.ParseAddr(who[1:])
	return err == nil && r.facts.Owners.Known(addr) > 0
}

// resolve sends a kept record on, if its host is known.
func (r *Router) resolve(who string, e entry, out *enrich.Out) (sent bool, err error) {
	value, err := r.state.Get("", []byte(e.key))
	if err != nil || value == nil {
		return err == nil, wrap(err)
	}
	s, err := enrich.ReadSide(value)
	if err != nil {
		return false, wrap(err)
	}
	if _, instance, ok := issue(who); ok { // which is known
		r.count[found]++
		return true, r.proven(instance, s, out)
	}
	owners, confirmed := r.ownersOf(who, s.Time)
	if len(owners) == 0 {
		return false, nil
	}
	r.count[found]++
	if err := r.deliver(s, owners, out); err != nil || confirmed {
		return true, err
	}
	return true, r.doubt(who, s, owners)
}

// issue is the key and instance of what waits for the key's issue.
func issue(who string) (key, instance string, ok bool) {
	if rest, of := strings.CutPrefix(who, "k"); of {
		return strings.Cut(rest, "\x00")
	}
	return "", "", false
}

// ownersOf are whose a record may be, and whether later facts confirm it. An instance
// is a host's for good.
func (r *Router) ownersOf(who string, at time.Time) (owners []owner.Place, confirmed bool) {
	if id, ok := strings.CutPrefix(who, "i"); ok {
		p, known := r.facts.Owners.Instance(id)
		if !known {
			return nil, false
		}
		return []owner.Place{p}, true
	}
	addr, err := netip.ParseAddr(who[1:])
	if err != nil {
		return nil, false
	}
	return r.facts.Owners.Owners(addr, at)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("route: %w", err)
}
