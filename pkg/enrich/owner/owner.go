package owner

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const (
	// tellEvery is how much later an address must be seen again to be told again.
	tellEvery = 5 * time.Minute
	format    = 1
	// maxOfHost bounds the addresses told of one host.
	maxOfHost = 256
)

// Operator writes the facts about one partition's hosts. It implements enrich.Operator
// and enrich.Answerer.
type Operator struct {
	group     string
	partition int32
	state     enrich.State
	hosts     map[enrich.Host]map[string]interval // by address or instance
	seen      map[enrich.Host]time.Time           // when a host's last row came, as the state has it
	refused   int64
	counted   int64
	key       string    // of the row's record, where facts tell it
	now       time.Time // the partition's, when its newest row was appended
	sweepAt   time.Time
}

// New returns an Operator over what state holds, of the partition of that number in the
// topics of that group; enrich.ByKey where hosts are found by the key of their rows.
func New(group string, partition int32, state enrich.State) *Operator {
	return &Operator{group: group, partition: partition, state: state, hosts: map[enrich.Host]map[string]interval{}, seen: map[enrich.Host]time.Time{}}
}

// Count implements enrich.Counter.
func (o *Operator) Count(s *enrich.Stats) {
	s.Evicted["address"] += o.refused - o.counted
	o.counted = o.refused
}

// OnEvent takes what rows say of their host: the addresses of its interfaces, the local
// ones of its sockets, and which instance it is.
func (o *Operator) OnEvent(e *enrich.Event, out *enrich.Out) error {
	if e.Host == "" || e.Link != nil || e.Sensor || ahead(e) {
		return nil
	}
	if e.Appended.After(o.now) {
		o.now = e.Appended
	}
	if o.partition == enrich.ByKey {
		o.key = string(e.Key)
	}
	if err := o.moved(e.Host, out); err != nil {
		return err
	}
	if err := o.lives(e); err != nil {
		return err
	}
	text := e.Text(event.InterfaceAddress)
	if text == "" && e.Kind == event.Socket {
		text = e.Text(event.LocalAddress)
	}
	if addr, ok := routable(text); ok {
		gone := e.Lens.Table == "interface_addresses" && e.Action.Text() == "removed"
		if err := o.address(e, addr, gone, out); err != nil {
			return err
		}
	}
	if id := e.Text(event.InstanceID); id != "" && e.Action.Text() != "removed" {
		return o.instance(e, id, out)
	}
	return nil
}

// ahead tells a row whose host's clock is too wrong for its word to count.
func ahead(e *enrich.Event) bool {
	return !e.Appended.IsZero() && e.Time.After(e.Appended.Add(time.Hour))
}

// Answer implements enrich.Answerer: no event asks anything of it.
func (o *Operator) Answer(*enrich.Event) error { return nil }

// OnSide has nothing to take.
func (o *Operator) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// OnTime has nothing to do: what a host had it keeps having until it says otherwise.
func (o *Operator) OnTime(enrich.Host, time.Time, *enrich.Out) error { return nil }

// routable reads an address by which others can reach a host.
func routable(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, false
	}
	addr = addr.Unmap().WithZone("")
	return addr, !addr.IsLoopback() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLinkLocalUnicast()
}

func (o *Operator) address(e *enrich.Event, addr netip.Addr, gone bool, out *enrich.Out) error {
	was, known, err := o.known(e.Host, addr.String())
	if err != nil {
		return err
	}
	now := interval{from: e.Time, to: e.Time, ended: gone}
	if known {
		if now = was.with(e.Time, gone); now.tells(was) {
			return nil
		}
	}
	if ok, err := o.keep(e.Host, addr.String(), now, known); err != nil || !ok {
		return err
	}
	return o.tellAddress(e.Host, addr, now, out)
}

func (o *Operator) tellAddress(host enrich.Host, addr netip.Addr, v interval, out *enrich.Out) error {
	return tell(&Fact{Kind: HostAddress, Host: host, Partition: o.partition, RowsKey: o.key, Address: addr, From: v.from, To: v.to, Ended: v.ended, Gaps: v.gaps}, out)
}

// own begins the keys of what is no fact. writerKey is where it is kept who told a host's
// facts.
const (
	own       = 0
	writerKey = "\x00writer"
)

// moved tells all facts of a host again whose state was another group's or partition's,
// when the host is met first.
func (o *Operator) moved(host enrich.Host, out *enrich.Out) error {
	if o.hosts[host] != nil {
		return nil
	}
	all, err := o.host(host)
	if err != nil {
		return err
	}
	writer := fmt.Sprintf("%s/%d", o.group, o.partition)
	was, err := o.state.Get(host, []byte(writerKey))
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", host, err)
	}
	if string(was) == writer || len(all) == 0 && was == nil {
		return nil
	}
	if err := o.state.Put(host, []byte(writerKey), []byte(writer)); err != nil {
		return fmt.Errorf("addresses of %s: %w", host, err)
	}
	for _, what := range slices.Sorted(maps.Keys(all)) {
		addr, err := netip.ParseAddr(what)
		if err == nil {
			err = o.tellAddress(host, addr, all[what], out)
		} else {
			err = tell(&Fact{Kind: HostInstance, Host: host, Partition: o.partition, RowsKey: o.key, Instance: what}, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Operator) instance(e *enrich.Event, id string, out *enrich.Out) error {
	_, known, err := o.known(e.Host, id)
	if err != nil || known {
		return err
	}
	if ok, err := o.keep(e.Host, id, interval{from: e.Time, to: e.Time}, false); err != nil || !ok {
		return err
	}
	return tell(&Fact{Kind: HostInstance, Host: e.Host, Partition: o.partition, RowsKey: o.key, Instance: id, Account: e.Text(event.AccountID)}, out)
}

func tell(f *Fact, out *enrich.Out) error {
	record, err := f.Output()
	if err != nil {
		return err
	}
	out.Add(record)
	return nil
}

// known is what was told of a host's address or instance.
func (o *Operator) known(host enrich.Host, what string) (v interval, ok bool, err error) {
	all, err := o.host(host)
	if err != nil {
		return v, false, err
	}
	v, ok = all[what]
	return v, ok, nil
}

// keep puts what is told, unless the host has too much already.
func (o *Operator) keep(host enrich.Host, what string, v interval, known bool) (ok bool, err error) {
	all := o.hosts[host]
	if !known && len(all) >= maxOfHost {
		o.refused++
		return false, nil
	}
	if len(all) == 0 {
		if err := o.state.Put(host, []byte(writerKey), fmt.Appendf(nil, "%s/%d", o.group, o.partition)); err != nil {
			return false, fmt.Errorf("addresses of %s: %w", host, err)
		}
	}
	all[what] = v
	if err := o.state.Put(host, []byte(what), v.encode()); err != nil {
		return false, fmt.Errorf("addresses of %s: %w", host, err)
	}
	return true, nil
}

func (o *Operator) host(host enrich.Host) (map[string]interval, error) {
	if all := o.hosts[host]; all != nil {
		return all, nil
	}
	all := map[string]interval{}
	err := o.state.Scan(host, nil, func(key, value []byte) error {
		if key[0] == own {
			return nil
		}
		v, err := read(value)
		all[string(key)] = v
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", host, err)
	}
	o.hosts[host] = all
	return all, nil
}
