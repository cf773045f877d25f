// Package route takes what does not come keyed by its host to the partitions where the
// hosts' rows are: sensors' records by who owned an address, CloudTrail's by the
// instance that called, rows of others by the host they name.
//
// It must never look at what a host does, nor choose between hosts: a record that may
// be several hosts' goes to all of them and says so.
package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Config says what comes by which topic. A zero bound means its default.
type Config struct {
	// CloudTrail are the topics of CloudTrail's records, Rows those of osquery's rows
	// that are keyed by something else than the host. What comes by others is a
	// sensor's.
	CloudTrail, Rows []string
	// Wait is how long, by the broker's time, a record is kept whose host is not known
	// yet (1 h), or until a later fact confirms whose it is. MaxBytes bounds those kept in
	// one partition whose host is not known (64 MiB), and again those to be confirmed.
	Wait     time.Duration
	MaxBytes int64
}

// Defaults of Config.
const (
	DefaultWait     = time.Hour
	DefaultMaxBytes = 64 << 20
)

// Router owns one partition's share of stage 1. It implements enrich.Router,
// enrich.Operator, enrich.Answerer and enrich.Idler.
type Router struct {
	cfg   Config
	facts *Facts
	state enrich.State
	row   event.Row
	now   time.Time // the partition's, when its newest record was appended
	kept  kept
	sent  sent
	seen  *seen
	used  *used
	ends  ends
	lasts lasting
	count map[string]int64 // since Count was last called

	decoder  cloudtrail.Decoder
	enricher cloudtrail.Enricher
	line     []byte
}

// New returns a Router over what state holds.
func New(cfg Config, facts *Facts, state enrich.State) (*Router, error) {
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	r := &Router{
		cfg: cfg, facts: facts, state: state, seen: newSeen(state), used: &used{state: state}, ends: ends{state: state},
		lasts: lasting{state: state, facts: facts.trail}, count: map[string]int64{}, enricher: facts.enricher,
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, r.loadSent()
}

// Count implements enrich.Counter.
func (r *Router) Count(s *enrich.Stats) {
	for what, n := range r.count {
		s.Routed[what] += n
	}
	clear(r.count)
}

// What Count tells.
const (
	toHost   = "sent"      // to the one host that it is about
	toShared = "shared"    // to each of several hosts that may be meant
	kepts    = "kept"      // until its host is known
	found    = "found"     // its host later
	unknown  = "unknown"   // its host was not known within the window
	noRoom   = "no_room"   // too much was kept
	moved    = "moved"     // a later fact told of other owners
	doubtful = "doubtful"  // no later fact told whether it went to the right ones
	copies   = "duplicate" // of a CloudTrail record
	toKey    = "key"       // of an instance's key, to the partition of the instance's id
	rekeyed  = "rekeyed"   // a row of osquery's, to its host's partition
	hostless = "hostless"  // a row that does not say which host it is from
)

// Route takes CloudTrail's records and rows to be re-keyed; a sensor's it leaves.
func (r *Router) Route(in *enrich.Input, called func(*enrich.Call) error, out *enrich.Out) (taken bool, err error) {
	if in.Appended.After(r.now) {
		r.now = in.Appended
	}
	switch {
	case slices.Contains(r.cfg.CloudTrail, in.Position.Topic):
		return true, r.trail(in, called, out)
	case slices.Contains(r.cfg.Rows, in.Position.Topic):
		return r.rekey(in, out)
	}
	return false, nil
}

// Again shows the calls in CloudTrail's records. A row that was re-keyed is found where
// it was sent.
func (r *Router) Again(in *enrich.Input, called func(*enrich.Call) error) (taken bool, err error) {
	switch {
	case slices.Contains(r.cfg.CloudTrail, in.Position.Topic):
		return true, callsIn(in, called)
	case slices.Contains(r.cfg.Rows, in.Position.Topic):
		host, _ := r.hostOf(in.Value)
		return host != "", nil
	}
	return false, nil
}

// rekey sends a row to the partition of its host's key. One that cannot be read, or
// names no host, is left to be told as it is.
func (r *Router) rekey(in *enrich.Input, out *enrich.Out) (taken bool, err error) {
	host, value := r.hostOf(in.Value)
	if host == "" {
		r.count[hostless]++
		return false, nil // the pipeline says what is wrong with it
	}
	r.count[rekeyed]++
	return true, r.send(&enrich.Side{
		Host: host, Kind: enrich.SideRow, Time: in.Appended, Value: value, Source: cmp.Or(in.Name, in.Position.String()), Position: in.Position, Appended: in.Appended,
	}, enrich.ByKey, out)
}

// hostOf is whose a row is, empty where it cannot be read or does not say so, and the row
// without bytes that JSON does not allow.
func (r *Router) hostOf(value []byte) (enrich.Host, []byte) {
	err := r.row.Parse(value)
	if err == nil && r.row.Dirty { // shipped by others, who do not mend
		value = event.AppendMended(nil, value)
		err = r.row.Parse(value)
	}
	switch {
	case err != nil:
		return "", value
	case r.row.Delivered && r.row.Delivery.Agent != "":
		return enrich.Host(r.row.Delivery.Agent), value
	}
	return enrich.Host(r.row.HostIdentifier.Text()), value
}

// end is one of the two in a sensor's record that can be a host's.
type end struct {
	addr      netip.Addr
	responder bool
}

// endsOf are those of a record that is not linked with a host yet.
func endsOf(e *enrich.Event) (all []end) {
	if !e.Sensor || e.Link != nil {
		return nil
	}
	if origin, ok := routable(e.Text(event.LocalAddress)); ok {
		all = append(all, end{origin, false})
	}
	responder, ok := routable(e.Text(event.RemoteAddress))
	if ok && (len(all) == 0 || all[0].addr != responder) {
		all = append(all, end{responder, true})
	}
	return all
}

// OnEvent sends a sensor's record to the hosts at its ends.
func (r *Router) OnEvent(e *enrich.Event, out *enrich.Out) error {
	ends := endsOf(e)
	ours := false // one of the ends is, or may be
	for _, end := range ends {
		s := r.side(e, end.responder)
		owners, confirmed := r.facts.Owners.Owners(end.addr, e.Time)
		if err := r.deliver(s, owners, out); err != nil {
			return err
		}
		if len(owners) > 0 && !confirmed {
			if err := r.doubt(addressOf(end.addr), s, owners); err != nil {
				return err
			}
		}
		e.Elsewhere = e.Elsewhere || len(owners) == 1
		ours = ours || len(owners) > 0 || private(end.addr)
	}
	for _, end := range ends {
		if !r.waits(end.addr, ours, e.Time) {
			continue
		}
		if err := r.keep(addressOf(end.addr), r.side(e, end.responder), r.cfg.Wait); err != nil {
			return err
		}
	}
	return nil
}

// waits tells whether an address may turn out to be one of our hosts'.
func (r *Router) waits(addr netip.Addr, ours bool, at time.Time) bool {
	owners, _ := r.facts.Owners.Owners(addr, at)
	return (private(addr) || !ours) && len(owners) == 0
}

func (r *Router) side(e *enrich.Event, responder bool) *enrich.Side {
	return &enrich.Side{
		Kind: enrich.SideSensor, Time: e.Time, Value: e.Raw, Source: e.ID, Position: e.Position, Appended: e.Appended, Responder: responder,
	}
}

// deliver sends a record to its owners, and marks it where there are several.
func (r *Router) deliver(s *enrich.Side, owners []owner.Place, out *enrich.Out) error {
	if len(owners) == 0 {
		return nil
	}
	s.Shared = len(owners) > 1
	what := toHost
	if s.Shared {
		what = toShared
	}
	r.count[what]++
	return r.sendAll(s, owners, out)
}

func (r *Router) sendAll(s *enrich.Side, to []owner.Place, out *enrich.Out) error {
	for _, o := range to {
		s.Host = o.Host
		if err := r.send(s, o.Partition, out); err != nil {
			return err
		}
	}
	return nil
}

// send sends a record to a partition, or by key to where its host's rows come in.
func (r *Router) send(s *enrich.Side, partition int32, out *enrich.Out) error {
	record, err := s.Output(partition)
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	if partition == enrich.ByKey {
		record.Key = []byte(r.facts.Owners.Key(s.Host))
	}
	out.Add(record)
	return nil
}

// Answer implements enrich.Answerer: of a record that was read again it tells whether
// its findings are raised where its host's rows are, as far as the owner is known by now.
func (r *Router) Answer(e *enrich.Event) error {
	for _, end := range endsOf(e) {
		owners, _ := r.facts.Owners.Owners(end.addr, e.Time)
		e.Elsewhere = e.Elsewhere || len(owners) == 1
	}
	return nil
}

// OnSide has nothing to take.
func (r *Router) OnSide(*enrich.Side, *enrich.Out) error { return nil }

// OnTime has nothing to do: what is kept waits by the broker's time.
func (r *Router) OnTime(enrich.Host, time.Time, *enrich.Out) error { return nil }

// routable reads an address that can be a host's.
func routable(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, false
	}
	addr = addr.Unmap().WithZone("")
	return addr, !addr.IsLoopback() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLinkLocalUnicast() && addr != broadcast()
}

func broadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// private tells an address that is given out within a site, shared address space of
// carriers (RFC 6598) among them.
func private(addr netip.Addr) bool {
	return addr.IsPrivate() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10).Contains(addr)
}
