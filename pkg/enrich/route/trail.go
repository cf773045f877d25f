package route

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// trail takes a message of CloudTrail's: what its records state becomes facts, each
// record is told once, and goes to the host whose credentials made the call.
func (r *Router) trail(in *enrich.Input, called func(*enrich.Call) error, out *enrich.Out) error {
	return wrap(r.decoder.Decode(in.Value, cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		switch {
		case f.Record != nil:
			return r.call(in, &f, called, out)
		case f.Refused != nil:
			out.Add(enrich.Refused(*in, f.Refused.Reason, f.Refused.Message, f.Refused.Original))
		}
		return nil
	}))
}

// callsIn shows the calls of a message that came from an address.
func callsIn(in *enrich.Input, called func(*enrich.Call) error) error {
	return wrap(cloudtrail.Decode(in.Value, cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		if f.Record == nil {
			return nil
		}
		return show(f.Record, called)
	}))
}

// show shows the call that a record tells, if it came from an address.
func show(record *cloudtrail.Record, called func(*enrich.Call) error) error {
	if record.Source.Kind != cloudtrail.SourceAddress {
		return nil
	}
	id := &record.Identity
	return called(&enrich.Call{
		ID: record.ID(), Time: record.Time, Source: record.Source.Text, Account: record.Account(),
		Actor:  cmp.Or(id.ARN, id.UserName, id.PrincipalID, id.Type),
		Action: strings.TrimSuffix(record.Service, ".amazonaws.com") + ":" + record.Name,
		Failed: record.Failed(),
	})
}

func (r *Router) call(in *enrich.Input, f *cloudtrail.Found, called func(*enrich.Call) error, out *enrich.Out) error {
	id := f.Record.ID()
	copied, err := r.seen.before(id, r.now)
	if err != nil {
		return err
	}
	if copied {
		r.count[copies]++
		return nil
	}
	if err := r.states(in, f.Record, out); err != nil {
		return err
	}
	place := cloudtrail.Place{Position: in.Position, Number: f.Number, Appended: in.Appended}
	r.line, _, err = r.enricher.Append(r.line[:0], f.Record, place, time.Now())
	if err != nil {
		return fmt.Errorf("record %s: %w", id, err)
	}
	out.Add(enrich.Output{
		Stream: enrich.CloudTrail, Key: []byte(id), Value: out.Copy(r.line), ID: id, Kind: string(event.API), Schema: cloudtrail.SchemaEnriched,
	})
	if err := show(f.Record, called); err != nil {
		return err
	}
	return r.ofInstance(in, f.Record, out)
}

// ofInstance sends what is asked of a call of an instance's credentials to its host, and
// where its key was used to whoever owns the instance's id. What only the session's name
// proves waits until EC2 is known to have issued the key.
func (r *Router) ofInstance(in *enrich.Input, record *cloudtrail.Record, out *enrich.Out) error {
	var h cloudtrail.Host
	if h.ID, h.Proof = r.facts.trail.Instance(record); h.ID == "" {
		return nil
	}
	waits := h.Proof == cloudtrail.ProofSessionName
	if waits {
		if record.Identity.AccessKeyID == "" {
			return nil
		}
		h.Proof = cloudtrail.ProofIssued
	}
	s := enrich.Side{Time: record.Time, Source: record.ID(), Position: in.Position, Appended: in.Appended}
	for _, part := range []struct {
		kind  enrich.SideKind
		value []byte
	}{{enrich.SideUse, cloud.UseOf(record, h)}, {enrich.SideCall, cloud.CallOf(record, h)}} {
		if part.value == nil {
			continue
		}
		one := s
		one.Kind, one.Value = part.kind, part.value
		var err error
		if waits {
			err = r.keep(issueOf(record.Identity.AccessKeyID, h.ID), &one, copiesFor/4)
		} else {
			err = r.proven(h.ID, &one, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// proven sends what is of an instance's credentials where it belongs.
func (r *Router) proven(instance string, s *enrich.Side, out *enrich.Out) error {
	if s.Kind == enrich.SideUse {
		s.Host = enrich.Host(instance)
		r.count[toKey]++
		return r.send(s, enrich.ByKey, out)
	}
	if p, ok := r.facts.Owners.Instance(instance); ok {
		return r.deliver(s, []owner.Place{p}, out)
	}
	return r.keep(instanceOf(instance), s, r.cfg.Wait)
}

// states writes the facts that a record states, and deletes those whose time has come.
func (r *Router) states(in *enrich.Input, record *cloudtrail.Record, out *enrich.Out) error {
	if err := errors.Join(r.ends.sweep(r.now, out), r.lasts.forget(r.now, out)); err != nil {
		return err
	}
	for _, f := range cloudtrail.Extract(nil, record) {
		key := f.CompactionKey(writer)
		if err := errors.Join(r.ends.note(&f, key, r.now), r.lasts.note(&f, key)); err != nil {
			return err
		}
		r.fact(f, key, out)
	}
	f, ok := cloudtrail.Uses(record)
	if !ok {
		return nil
	}
	key := f.CompactionKey(writer + "-" + in.Position.Topic + "-" + strconv.Itoa(int(in.Position.Partition))) // others may state the same
	news, err := r.used.news(key, f.Time, r.now, out)
	if err != nil || !news {
		return err
	}
	r.fact(f, key, out)
	return nil
}

// writer is what stage 1 calls itself in the keys of facts.
const writer = "route"

func (r *Router) fact(f cloudtrail.Fact, key string, out *enrich.Out) {
	value := f.Append(nil)
	out.Add(enrich.Output{Stream: enrich.Facts, Key: []byte(key), Value: value, ID: key, Kind: string(f.Kind), Schema: owner.SchemaFact})
	r.facts.state(f) // the next record may rest on it
	r.facts.own.note(value)
}

// used knows which uses of credentials were stated: "u" and the fact's key, with the
// use's time, the earliest of a day, and when that was stated.
type used struct {
	state   enrich.State
	sweepAt time.Time
}

const (
	usedKey    = "u"
	usedFormat = 1
	// usesFor is how long a use is a fact after it was stated, by the broker's time:
	// twice as long as keys are judged by it.
	usesFor = 14 * 24 * time.Hour
)

// news tells that a use is to be stated: none of its day was, or a later one.
func (u *used) news(key string, at, now time.Time, out *enrich.Out) (bool, error) {
	own := append([]byte(usedKey), key...)
	value, err := u.state.Get("", own)
	if err != nil {
		return false, wrap(err)
	}
	if value != nil {
		r := compact.NewReader(value)
		r.Format(usedFormat)
		if was := r.Time(); r.Err() != nil || !at.Before(was) {
			return false, wrap(r.Err())
		}
	}
	if err := u.sweep(now, out); err != nil {
		return false, err
	}
	return true, wrap(u.state.Put("", own, compact.Time(compact.Time(compact.Number(nil, usedFormat), at), now)))
}

// sweep takes back, once a day, what was stated long ago.
func (u *used) sweep(now time.Time, out *enrich.Out) error {
	if now.Before(u.sweepAt) {
		return nil
	}
	u.sweepAt = now.Add(24 * time.Hour)
	var old []string
	err := u.state.Scan("", []byte(usedKey), func(key, value []byte) error {
		r := compact.NewReader(value)
		r.Format(usedFormat)
		r.Time()
		if now.Sub(r.Time()) > usesFor {
			old = append(old, string(key))
		}
		return r.Err()
	})
	if err != nil {
		return wrap(err)
	}
	for _, key := range old {
		if err := u.state.Delete("", []byte(key)); err != nil {
			return wrap(err)
		}
		out.Add(owner.Deleting(key[len(usedKey):], string(cloudtrail.FactUse)))
	}
	return nil
}
