package cloud

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// Side is the kind of the side records that an Operator takes: one record of
// CloudTrail, as JSON, of an instance's credentials. Its host is the instance's, or
// where no host is known to be it the instance's id.
const Side = "cloudtrail"

// Config is what an Operator works with. A zero number means its default.
type Config struct {
	// Facts are what CloudTrail states, Uses (cloudtrail.Uses) from where credentials
	// were used. Without Uses the Operator notes those of the records that it sees:
	// then nothing is told of a login by its address, and an address is known to be
	// shared among the partition's hosts alone.
	Facts, Uses *cloudtrail.Table
	Labels      *Labels
	// Hold is how long by its host's clock a call waits for rows that tell of its
	// process, Lateness how long a record of CloudTrail may be under way.
	Hold, Lateness time.Duration
	// MaxCalls and MaxSightings bound what is kept of a host, MaxCached the hosts that
	// are held decoded.
	MaxCalls, MaxSightings, MaxCached int
	// Now is when what is told is told; time.Now where it is nil.
	Now func() time.Time
}

// Defaults of Config.
const (
	DefaultHold         = 2 * time.Minute
	DefaultLateness     = 6 * time.Hour
	DefaultMaxCalls     = 4096
	DefaultMaxSightings = 4096
	DefaultMaxCached    = 1 << 14
)

// maxUses bounds the uses that one Operator notes.
const maxUses = 1 << 16

// Operator joins one partition's hosts with the cloud. It implements enrich.Operator
// and enrich.Finisher. It stands behind the joins that answer an event's process,
// session and names.
type Operator struct {
	cfg   Config
	state enrich.State
	hosts map[enrich.Host]*host
	// notes tells that the Operator itself keeps cfg.Uses.
	notes bool
	// evicted counts what the bounds pushed out, counted what of that was told.
	evicted, counted int64
}

// New returns an Operator over what state has.
func New(cfg Config, state enrich.State) *Operator {
	or := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	or(&cfg.MaxCalls, DefaultMaxCalls)
	or(&cfg.MaxSightings, DefaultMaxSightings)
	or(&cfg.MaxCached, DefaultMaxCached)
	if cfg.Hold <= 0 {
		cfg.Hold = DefaultHold
	}
	if cfg.Lateness <= 0 {
		cfg.Lateness = DefaultLateness
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Facts == nil {
		cfg.Facts = cloudtrail.NewTable(1)
	}
	o := &Operator{cfg: cfg, state: state, hosts: map[enrich.Host]*host{}}
	if cfg.Uses == nil {
		o.notes, o.cfg.Uses = true, cloudtrail.NewTable(maxUses)
	}
	return o
}

// Count implements enrich.Counter.
func (o *Operator) Count(s *enrich.Stats) {
	s.Evicted["cloud"] += o.evicted - o.counted
	o.counted = o.evicted
}

// OnEvent takes what rows tell of their host's instance, its mounts and what calls AWS,
// and gives every event its host's cloud. An event may be handed in again, once more is
// known of its process. It writes nothing.
func (o *Operator) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	if e.Host == "" || e.Lens == nil {
		return nil
	}
	h, err := o.host(e.Host)
	if err != nil {
		return err
	}
	if err := o.takeIdentity(h, e); err != nil {
		return err
	}
	if err := o.takeMounts(h, e); err != nil {
		return err
	}
	if s, ok := sightingOf(e); ok {
		if err := o.addSighting(h, &s); err != nil {
			return err
		}
	}
	if err := o.identify(h, e.Time); err != nil {
		return err
	}
	o.answer(h, e)
	return nil
}

// answer gives an event what is known of its host's cloud.
func (o *Operator) answer(h *host, e *enrich.Event) {
	c := h.cloud
	labelled := h.labelled
	c.Login = o.logins(h, e)
	if len(h.mounts) > 0 {
		c.Objects, labelled = o.objects(h, e, labelled)
	}
	if len(labelled) > 0 {
		c.Labels = encode(labelled)
	}
	if c.Machine != nil || c.Login != nil || c.Objects != nil {
		e.Cloud = &c
	}
}

// resolveEvery is how long, by its events' time, what was found of a host's instance
// is not asked about again.
const resolveEvery = time.Minute

// identify finds out which instance the host is, once a minute of its time.
func (o *Operator) identify(h *host, at time.Time) error {
	if !h.resolved.IsZero() && at.Sub(h.resolved).Abs() < resolveEvery {
		return nil
	}
	h.resolved = at
	clear(h.logins)
	found := o.resolve(h, at)
	if found.Instance == "" {
		h.now, h.cloud, h.labelled = claim{}, enrich.Cloud{}, nil
		return nil
	}
	h.now = found
	h.cloud, h.labelled = o.describe(found)
	return o.adopt(h)
}

// adopt takes over what was kept under the instance's id, while no host was known to
// be it.
func (o *Operator) adopt(h *host) error {
	orphan, err := o.host(enrich.Host(h.now.Instance))
	if err != nil || orphan == h {
		return err
	}
	if orphan.record.Is != h.id {
		orphan.record.Is = h.id
		if err := o.putRecord(orphan); err != nil {
			return err
		}
	}
	for len(orphan.calls) > 0 {
		c := orphan.calls[0]
		if err := o.dropCall(orphan, 0); err != nil {
			return err
		}
		if err := o.addCall(h, c); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(orphan.credentials)) {
		k := orphan.credentials[name]
		delete(orphan.credentials, name)
		if err := o.drop(orphan, keyed(credentialKey, name)); err != nil {
			return err
		}
		if err := o.addCredential(h, k); err != nil {
			return err
		}
	}
	clear(orphan.unsure)
	return nil
}

// OnSide takes a record of CloudTrail. With a nil out nothing is told before the host's
// clock moves or Finish.
func (o *Operator) OnSide(r *enrich.Side, out *enrich.Out) error {
	if r.Kind != Side || r.Host == "" {
		return nil
	}
	record, err := cloudtrail.Parse(r.Value)
	if err != nil {
		o.evicted++ // whoever routed it has read it before
		return nil  //nolint:nilerr // one record that is none must not stop the partition
	}
	return o.take(r.Host, record, r.Position, out)
}

func (o *Operator) take(id enrich.Host, r *cloudtrail.Record, at enrich.Position, out *enrich.Out) error {
	h, err := o.host(id)
	if err == nil && h.record.Is != "" {
		h, err = o.host(h.record.Is)
	}
	if err != nil {
		return err
	}
	instance := o.cfg.Facts.Host(r)
	if k := credentialOf(r, instance, at); k != nil {
		if o.notes {
			o.cfg.Uses.Add(k.use())
		}
		if err := o.addCredential(h, k); err != nil {
			return err
		}
	}
	if c := callOf(r, instance, at); c != nil {
		if err := o.addCall(h, c); err != nil {
			return err
		}
	}
	if out == nil {
		return nil
	}
	return o.tell(h, false, out)
}

func (o *Operator) addCredential(h *host, k *credential) error {
	if known := h.credentials[k.name()]; known != nil {
		known.add(k)
		k = known
	} else {
		h.credentials[k.name()] = k
		h.doubt() // of one key, each address says something of the others
	}
	if k.Last.Sub(k.judged).Abs() >= tellAgain { // what only counts on can wait
		h.unsure[k.name()] = true
	}
	return o.put(h, keyed(credentialKey, k.name()), k)
}

// OnTime tells what the host's clock has passed, and forgets what no record of
// CloudTrail will ask about any more.
func (o *Operator) OnTime(id enrich.Host, now time.Time, out *enrich.Out) error {
	h, err := o.host(id)
	if err != nil {
		return err
	}
	h.record.Clock = now
	if !now.Before(h.judgeAt) { // facts may have come
		h.judgeAt = now.Add(resolveEvery)
		h.doubt()
		if h.busy() {
			if err := o.putRecord(h); err != nil {
				return err
			}
		}
	}
	if err := o.tell(h, false, out); err != nil || now.Before(h.record.SweepAt) {
		return err
	}
	h.record.SweepAt = now.Add(sweepEvery)
	if err := o.sweep(h, now); err != nil {
		return err
	}
	return o.putRecord(h)
}

// sweepEvery is how often old things are looked for, by the host's clock.
const sweepEvery = 5 * time.Minute

func (o *Operator) sweep(h *host, now time.Time) error {
	for len(h.seen) > 0 && h.seen[0].At.Before(now.Add(-o.cfg.Lateness-keyLives)) {
		old := h.seen[0]
		h.seen = h.seen[1:]
		if err := o.drop(h, timed(sightingKey, old.At, old.Event)); err != nil {
			return err
		}
	}
	for len(h.calls) > 0 && h.calls[0].Last.Before(now.Add(-o.cfg.Lateness)) && !h.calls[0].dirty {
		if err := o.dropCall(h, 0); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.credentials)) {
		if k := h.credentials[name]; k.Last.Before(now.Add(-sharedWithin)) {
			delete(h.credentials, name)
			delete(h.unsure, name)
			if err := o.drop(h, keyed(credentialKey, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Finish implements enrich.Finisher: it tells what waits for clocks that have stopped,
// and of instances without a host.
func (o *Operator) Finish(out *enrich.Out) error {
	var all []enrich.Host
	if err := o.state.Hosts(func(id enrich.Host) error { all = append(all, id); return nil }); err != nil {
		return fmt.Errorf("cloud: %w", err)
	}
	for _, id := range all {
		h, err := o.host(id)
		if err != nil {
			return err
		}
		h.doubt()
		if err := o.tell(h, true, out); err != nil {
			return err
		}
	}
	return nil
}
