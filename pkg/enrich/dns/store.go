package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// host is what is kept at hand of one host.
type host struct {
	// named is the minute of the last name that was seen.
	named, sweepAt     time.Time
	addresses, aliases int
	origins            origin.Table // where its rows were read
}

// name is one name of an address, or of an alias.
type name struct {
	text   string
	source enrich.NameSource
	pid    int64  // who asked, 0 for anyone
	port   uint16 // of the other end, 0 for any
	// from and until bound the sockets that it may be the name of.
	from, until time.Time
	id          string // of the event that tells it
	place       origin.Place
}

func (n *name) same(o *name) bool {
	return n.text == o.text && n.source == o.source && n.pid == o.pid && n.port == o.port
}

func (o *Operator) host(name enrich.Host) (*host, error) {
	if h := o.hosts[name]; h != nil {
		return h, nil
	}
	value, err := o.state.Get(name, hostKey())
	if err != nil {
		return nil, wrap(name, err)
	}
	h := &host{}
	if value != nil {
		if err := h.read(value); err != nil {
			return nil, wrap(name, err)
		}
	}
	o.hosts[name] = h
	return h, nil
}

func (o *Operator) putHost(name enrich.Host, h *host) error {
	o.buf = h.append(o.buf[:0], uint64(o.cfg.Format))
	return wrap(name, o.state.Put(name, hostKey(), o.buf))
}

// place returns where the event was read, in its host's own numbers.
func (o *Operator) place(e *enrich.Event) (origin.Place, error) {
	if o.cfg.Format < placed {
		return origin.Place{}, nil
	}
	h, err := o.host(e.Host)
	if err != nil {
		return origin.Place{}, err
	}
	p, fresh := h.origins.Place(e)
	if !fresh {
		return p, nil
	}
	return p, o.putHost(e.Host, h)
}

// sawName notes that the host's names are seen. Minutes will do, and are a write each
// rather than one for every row.
func (o *Operator) sawName(e *enrich.Event) error {
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	minute := e.Time.Truncate(time.Minute)
	if !minute.After(h.named) {
		return nil
	}
	// Sockets that were told when no name was to be expected now lack one.
	e.Learned.Names = h.named.IsZero() || minute.Sub(h.named) > expects/2
	h.named = minute
	return o.putHost(e.Host, h)
}

func (o *Operator) names(host enrich.Host, key []byte) ([]name, error) {
	value, err := o.state.Get(host, key)
	if err != nil || value == nil {
		return nil, wrap(host, err)
	}
	all, err := decode(value)
	return all, wrap(host, err)
}

func wrap(host enrich.Host, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("names of %s: %w", host, err)
}

// learn adds a name to what key stands for. Windows of one name that meet become one,
// so that what is kept does not depend on the order in which rows came.
func (o *Operator) learn(e *enrich.Event, key []byte, n name) error {
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	all, err := o.names(e.Host, key)
	if err != nil {
		return err
	}
	fresh := len(all) == 0
	all = slices.DeleteFunc(all, func(old name) bool {
		if !old.same(&n) || old.from.After(n.until) || n.from.After(old.until) {
			return false
		}
		if old.from.Before(n.from) || old.from.Equal(n.from) && old.id <= n.id {
			n.from, n.id, n.place = old.from, old.id, old.place
		}
		if old.until.After(n.until) {
			n.until = old.until
		}
		return true
	})
	all = append(all, n)
	slices.SortFunc(all, func(a, b name) int {
		if c := b.until.Compare(a.until); c != 0 {
			return c
		}
		return strings.Compare(a.text+"\x00"+a.id, b.text+"\x00"+b.id)
	})
	if over := len(all) - o.cfg.MaxNames; over > 0 {
		all = all[:o.cfg.MaxNames]
		o.evicted += int64(over)
	}
	if err := o.put(e.Host, key, all); err != nil || !fresh {
		return err
	}
	return o.added(e.Host, h, key[0])
}

func (o *Operator) put(host enrich.Host, key []byte, all []name) error {
	o.buf = encode(o.buf[:0], all, uint64(o.cfg.Format))
	return wrap(host, o.state.Put(host, key, o.buf))
}

// added counts a new key, and makes room where there are too many.
func (o *Operator) added(name enrich.Host, h *host, kind byte) error {
	if kind == 'a' {
		h.addresses++
	} else {
		h.aliases++
	}
	if h.addresses > o.cfg.MaxAddresses {
		if err := o.evict(name, h, "a", &h.addresses); err != nil {
			return err
		}
	}
	if h.aliases > o.cfg.MaxAddresses {
		if err := o.evict(name, h, "c", &h.aliases); err != nil {
			return err
		}
	}
	return o.putHost(name, h)
}

// kept is a key with the end of its last name.
type kept struct {
	key   string
	until time.Time
}

func (o *Operator) keys(host enrich.Host, prefix string) (all []kept, err error) {
	err = o.state.Scan(host, []byte(prefix), func(key, value []byte) error {
		names, err := decode(value)
		if err == nil && len(names) > 0 {
			all = append(all, kept{string(key), names[0].until})
		}
		return err
	})
	return all, wrap(host, err)
}

// evict forgets a sixteenth of the keys, those that end first.
func (o *Operator) evict(name enrich.Host, h *host, prefix string, count *int) error {
	all, err := o.keys(name, prefix)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b kept) int {
		if c := a.until.Compare(b.until); c != 0 {
			return c
		}
		return strings.Compare(a.key, b.key)
	})
	n := min(len(all), *count-o.cfg.MaxAddresses+o.cfg.MaxAddresses/16)
	o.evicted += int64(n)
	return o.forget(name, h, all[:n])
}

// sweep forgets what ended long enough ago.
func (o *Operator) sweep(name enrich.Host, h *host, now time.Time) error {
	h.sweepAt = now.Add(o.cfg.Keep / 4)
	var old []kept
	for _, prefix := range []string{"a", "c"} {
		all, err := o.keys(name, prefix)
		if err != nil {
			return err
		}
		for _, k := range all {
			if now.Sub(k.until) > o.cfg.Keep {
				old = append(old, k)
			}
		}
	}
	if err := o.forget(name, h, old); err != nil {
		return err
	}
	if h.addresses+h.aliases > 0 || now.Sub(h.named) <= expects+o.cfg.Keep { // late sockets still ask
		return o.putHost(name, h)
	}
	delete(o.hosts, name)
	return wrap(name, o.state.Delete(name, hostKey()))
}

func (o *Operator) forget(name enrich.Host, h *host, keys []kept) error {
	for _, k := range keys {
		if err := o.state.Delete(name, []byte(k.key)); err != nil {
			return wrap(name, err)
		}
		if k.key[0] == 'a' {
			h.addresses--
		} else {
			h.aliases--
		}
	}
	return nil
}
