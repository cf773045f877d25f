package cloud

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// Side is the kind of the side records that hold a whole record of CloudTrail, of an
// instance's credentials. Its host is the instance's, or where no host is known to be it
// the instance's id.
const Side = enrich.SideCloudTrail

// Config is what an Operator works with. A zero number means its default.
type Config struct {
	// Facts are what CloudTrail states, Uses (cloudtrail.Uses) from where credentials
	// were used. Without Uses the Operator notes those of the records that it sees:
	// then nothing is told of a login by its address.
	Facts, Uses *cloudtrail.Table
	Labels      *Labels
	// Suppressed says, in a sentence, who asked not to be told of a rule's finding about
	// a host of these names and what it is about, the last of which was at that time;
	// empty for nobody. nil asks nobody.
	Suppressed func(rule string, at time.Time, hosts, about []string) string
	// Locate says in whose network an address is, where that is known. nil knows nothing.
	Locate func(netip.Addr) enrich.Location
	// Apart says that a host's rows come in another partition than what is told of its
	// instance's keys, which is that of the instance's id. What processes say of calls
	// then goes there as a side record.
	// Group and Partition name who says which instance a host is.
	Apart     bool
	Group     string
	Partition int32
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

// Operator joins one partition's hosts with the cloud. It implements enrich.Operator,
// enrich.Idler, enrich.Sealer and enrich.Finisher. It stands behind the joins that
// answer an event's process, session and names.
//
// Two things are kept apart, under hosts of their own: what rows and calls tell of a
// host, under the host; and from where an instance's keys were used, under the
// instance's id, so that a finding has one owner whether or not a host is known.
type Operator struct {
	cfg   Config
	state enrich.State
	hosts map[enrich.Host]*host
	// notes tells that the Operator itself keeps cfg.Uses.
	notes bool
	// changed is what is not in the State yet.
	changed changed
	// again is what of the keys' uses is to be judged again, and when.
	again again
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
	o := &Operator{cfg: cfg, state: state, hosts: map[enrich.Host]*host{}, changed: newChanged(), again: newAgain()}
	if cfg.Uses == nil {
		o.notes, o.cfg.Uses = true, cloudtrail.NewTable(maxUses)
	}
	o.again.facts, o.again.uses = o.cfg.Facts.Changes(), o.cfg.Uses.Changes()
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
	if o.cfg.Partition == enrich.ByKey && e.Link == nil && string(e.Key) != h.rowsKey {
		h.rowsKey = string(e.Key)
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

// adopt takes over the calls that were kept under the instance's id, while no host was
// known to be it.
func (o *Operator) adopt(h *host) error {
	if o.cfg.Apart {
		return nil // whoever routes them keeps them
	}
	if err := o.hear(&word{Instance: h.now.Instance, Host: h.id, Name: h.record.Name}); err != nil {
		return err
	}
	orphan, err := o.host(enrich.Host(h.now.Instance))
	if err != nil || orphan == h {
		return err
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
	return nil
}

// OnSide takes a record of CloudTrail or what was made of one. With a nil out nothing is
// told before the host's clock moves or Finish.
func (o *Operator) OnSide(r *enrich.Side, out *enrich.Out) error {
	if r.Host == "" {
		return nil
	}
	switch r.Kind {
	case Side:
		record, err := cloudtrail.Parse(r.Value)
		if err != nil {
			o.evicted++ // whoever routed it has read it before
			return nil  //nolint:nilerr // one record that is none must not stop the partition
		}
		return o.take(r.Host, record, r.Position, out)
	case enrich.SideCall:
		c, err := readCall(r)
		if err != nil {
			o.evicted++
			return nil //nolint:nilerr // the same
		}
		return o.takeCall(r.Host, c, out)
	case enrich.SideUse:
		k, err := readUse(r)
		if err != nil {
			o.evicted++
			return nil //nolint:nilerr // the same
		}
		o.passed(r.Appended)
		return o.takeUse(k, out)
	case enrich.SideHost:
		w, err := readWord(r)
		if err != nil {
			o.evicted++
			return nil //nolint:nilerr // the same
		}
		return o.hear(w)
	}
	return nil
}

// take takes a whole record apart.
func (o *Operator) take(id enrich.Host, r *cloudtrail.Record, at enrich.Position, out *enrich.Out) error {
	instance := o.cfg.Facts.Host(r)
	if k := credentialOf(r, instance, at); k != nil {
		if o.notes {
			o.cfg.Uses.Add(k.use())
		}
		if err := o.takeUse(k, out); err != nil {
			return err
		}
	}
	if c := callOf(r, instance, at); c != nil {
		return o.takeCall(id, c, out)
	}
	return nil
}

// takeCall takes a call in under its host, or under the instance's id until a host is
// known to be it.
func (o *Operator) takeCall(id enrich.Host, c *call, out *enrich.Out) error {
	h, err := o.host(id)
	if err == nil && !o.cfg.Apart && h.record.Is != "" {
		h, err = o.host(h.record.Is)
	}
	if err != nil {
		return err
	}
	if err := o.addCall(h, c); err != nil || out == nil {
		return err
	}
	return o.tell(h, out)
}

// takeUse takes the use of a key in, under the id of its instance.
func (o *Operator) takeUse(k *credential, out *enrich.Out) error {
	h, err := o.host(enrich.Host(k.Instance))
	if err != nil {
		return err
	}
	o.addCredential(h, k)
	if out == nil || o.cfg.Apart { // there it is told when nothing else has to be done
		return nil
	}
	return o.tellUses(h, false, out)
}

func (o *Operator) addCredential(h *host, k *credential) {
	news := true
	if known := h.credentials[k.name()]; known != nil {
		news = known.add(k)
		k = known
	} else {
		h.credentials[k.name()] = k
		h.doubt() // of one key, each address says something of the others
	}
	k.quiet = 0
	if news || k.Told != "" && (o.cfg.Apart || k.Last.Sub(k.judged).Abs() >= tellAgain) { // what only counts on can wait
		h.unsure[k.name()] = true
	}
	if len(h.unsure) > 0 {
		o.again.due[h.id] = true
	}
	o.changed.credentials[k] = h
}

// OnTime tells what the host's clock has passed, and forgets what no record of
// CloudTrail will ask about any more.
func (o *Operator) OnTime(id enrich.Host, now time.Time, out *enrich.Out) error {
	h, err := o.host(id)
	if err != nil {
		return err
	}
	h.record.Clock = now
	if !now.Before(h.recordAt) {
		h.recordAt = now.Add(resolveEvery)
		if h.busy() {
			if err := o.putRecord(h); err != nil {
				return err
			}
		}
	}
	if err := o.introduce(h, out); err != nil {
		return err
	}
	if err := o.tell(h, out); err != nil || now.Before(h.record.SweepAt) {
		return err
	}
	h.record.SweepAt = now.Add(sweepEvery)
	if err := o.sweep(h, now); err != nil {
		return err
	}
	return o.putRecord(h)
}

// tell tells what of a host's calls is answered, and of its instance's keys where that
// is this partition's.
func (o *Operator) tell(h *host, out *enrich.Out) error {
	if err := o.tellCalls(h, false, out); err != nil || o.cfg.Apart || h.now.Instance == "" {
		return err
	}
	keys, err := o.host(enrich.Host(h.now.Instance))
	if err != nil {
		return err
	}
	if !h.record.Clock.Before(h.judgeAt) {
		h.judgeAt = h.record.Clock.Add(resolveEvery)
		keys.doubt()
	}
	return o.tellUses(keys, false, out)
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
	if o.cfg.Apart || h.now.Instance == "" {
		return o.sweepWords(h, now)
	}
	keys, err := o.host(enrich.Host(h.now.Instance))
	if err != nil {
		return err
	}
	if err := o.sweepUses(keys, now); err != nil {
		return err
	}
	return o.sweepWords(h, now)
}

// Finish implements enrich.Finisher: it tells what waits for clocks that have stopped,
// and of instances without a host.
func (o *Operator) Finish(out *enrich.Out) error {
	all, err := o.everyone()
	if err != nil {
		return err
	}
	for _, id := range all {
		h, err := o.host(id)
		if err != nil {
			return err
		}
		if err := o.tellCalls(h, true, out); err != nil {
			return err
		}
	}
	for _, id := range all {
		h, err := o.host(id)
		if err != nil {
			return err
		}
		if !o.cfg.Apart { // there it is known what is to be judged again
			h.doubt()
		}
		if err := o.tellUses(h, true, out); err != nil {
			return err
		}
	}
	return o.Seal()
}

// everyone are the hosts and instances of which something is kept, in order.
func (o *Operator) everyone() (all []enrich.Host, err error) {
	if err := o.Seal(); err != nil {
		return nil, err
	}
	if err := o.state.Hosts(func(id enrich.Host) error { all = append(all, id); return nil }); err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	return all, nil
}
