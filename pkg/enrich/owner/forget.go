package owner

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

const (
	// keep is how long facts live after what they describe: an address that its host said
	// to have given up, a host whose last row was appended.
	keep = 30 * 24 * time.Hour
	// aliveKey is where it is kept when a host's last row was appended, to a day.
	aliveKey   = "\x00alive"
	aliveEvery = 24 * time.Hour
	sweepEvery = time.Hour
)

// lives notes, once a day of the broker's time, that a host sends rows.
func (o *Operator) lives(e *enrich.Event) error {
	if e.Appended.IsZero() || len(o.hosts[e.Host]) == 0 {
		return nil
	}
	was, err := o.alive(e.Host)
	if err != nil || e.Appended.Sub(was) < aliveEvery {
		return err
	}
	return o.note(e.Host, e.Appended)
}

func (o *Operator) note(host enrich.Host, at time.Time) error {
	o.seen[host] = at
	if err := o.state.Put(host, []byte(aliveKey), compact.Time(compact.Number(nil, format), at)); err != nil {
		return fmt.Errorf("addresses of %s: %w", host, err)
	}
	return nil
}

// alive is when a host's last row was appended, to a day; zero where that is not known.
func (o *Operator) alive(host enrich.Host) (t time.Time, err error) {
	if t, ok := o.seen[host]; ok {
		return t, nil
	}
	value, err := o.state.Get(host, []byte(aliveKey))
	if err == nil && value != nil {
		r := compact.NewReader(value)
		r.Format(format)
		t, err = r.Time(), r.Err()
	}
	if err != nil {
		return t, fmt.Errorf("addresses of %s: %w", host, err)
	}
	o.seen[host] = t
	return t, nil
}

// OnIdle implements enrich.Idler: it deletes the facts of what is long gone, by the
// broker's time, since the clock of a host that is gone stands still.
func (o *Operator) OnIdle(out *enrich.Out) error {
	if o.now.Before(o.sweepAt) || o.now.IsZero() {
		return nil
	}
	o.sweepAt = o.now.Add(sweepEvery)
	var all []enrich.Host
	err := o.state.Hosts(func(host enrich.Host) error {
		all = append(all, host)
		return nil
	})
	for i := 0; err == nil && i < len(all); i++ {
		err = o.sweep(all[i], out)
	}
	if err != nil {
		return fmt.Errorf("facts of what is gone: %w", err)
	}
	return nil
}

// sweep deletes a host's facts that are over, and all that is kept of it where none is
// left.
func (o *Operator) sweep(host enrich.Host, out *enrich.Out) error {
	alive, err := o.alive(host)
	if err != nil {
		return err
	}
	if alive.IsZero() {
		return o.note(host, o.now) // as good as any: it is from here on that it is silent
	}
	edge := o.now.Add(-keep)
	var old []string
	left := 0
	err = o.state.Scan(host, nil, func(key, value []byte) error {
		if bytes.HasPrefix(key, []byte{own}) {
			return nil
		}
		v, err := read(value)
		if v.to.Before(edge) && (v.ended || alive.Before(edge)) {
			old = append(old, string(key))
		} else {
			left++
		}
		return err
	})
	if err != nil {
		return err
	}
	if left == 0 {
		old = append(old, writerKey, aliveKey)
		delete(o.seen, host)
	}
	return o.drop(host, old, out)
}

// drop forgets what it is told by keys, and deletes the facts among it.
func (o *Operator) drop(host enrich.Host, keys []string, out *enrich.Out) error {
	for _, key := range keys {
		delete(o.hosts[host], key)
		if err := o.state.Delete(host, []byte(key)); err != nil {
			return fmt.Errorf("addresses of %s: %w", host, err)
		}
		if key[0] == own {
			continue
		}
		f := Fact{Kind: HostInstance, Host: host, Partition: o.partition, Instance: key}
		if addr, err := netip.ParseAddr(key); err == nil {
			f = Fact{Kind: HostAddress, Host: host, Partition: o.partition, Address: addr}
		}
		out.Add(Deleting(f.Key(), string(f.Kind)))
	}
	return nil
}

// ReadKey reads what a fact's key tells of it, for a record that deletes it. Its error is
// ErrOther for a key that is not of this package's kinds.
func ReadKey(key string) (*Fact, error) {
	kind, rest, _ := strings.Cut(key, "/")
	about, rest, _ := strings.Cut(rest, "/")
	at := strings.LastIndex(rest, "/join-")
	if k := Kind(kind); k != HostAddress && k != HostInstance || at <= 0 || about == "" {
		return nil, ErrOther
	}
	partition, err := strconv.ParseInt(rest[at+len("/join-"):], 10, 32)
	if err != nil || int32(partition) < enrich.ByKey {
		return nil, fmt.Errorf("fact %s: its partition is no number", key)
	}
	f := &Fact{Kind: Kind(kind), Host: enrich.Host(rest[:at]), Partition: int32(partition), Instance: about}
	if f.Kind == HostAddress {
		f.Instance = ""
		if f.Address, err = netip.ParseAddr(about); err != nil {
			return nil, fmt.Errorf("fact %s: %w", key, err)
		}
	}
	return f, nil
}

// Remove takes out what ReadKey read, unless another partition has told it since.
func (t *Table) Remove(f *Fact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.Kind == HostInstance {
		if t.instances[f.Instance] == (Place{f.Host, f.Partition}) {
			delete(t.instances, f.Instance)
			t.changes++
		}
		return
	}
	all := t.addresses[f.Address]
	if all == nil {
		return
	}
	i, known := all.find(f.Host)
	if !known || all.facts[i].Partition != f.Partition {
		return
	}
	t.changes++
	all.changes++
	all.facts = append(all.facts[:i], all.facts[i+1:]...)
	if len(all.facts) == 0 {
		delete(t.addresses, f.Address)
	}
}
