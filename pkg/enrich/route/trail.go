package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// writer is what stage 1 calls itself in the keys of facts.
const writer = "route"

// trail takes a message of CloudTrail's: what its records state becomes facts, each
// record is told once, and goes to the host whose credentials made the call.
func (r *Router) trail(in *enrich.Input, called func(*enrich.Call) error, out *enrich.Out) error {
	return wrap(cloudtrail.Decode(in.Value, cloudtrail.Limits{}, func(f cloudtrail.Found) error {
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
	copied, err := r.seen.before(f.Record.ID(), r.now)
	if err != nil {
		return err
	}
	if copied {
		r.count[copies]++
		return nil
	}
	if err := r.states(f.Record, out); err != nil {
		return err
	}
	place := cloudtrail.Place{Position: in.Position, Number: f.Number, Appended: in.Appended}
	line, instance, err := r.facts.enrich(f.Record, place, time.Now())
	if err != nil {
		return fmt.Errorf("record %s: %w", f.Record.ID(), err)
	}
	id := f.Record.ID()
	out.Add(enrich.Output{Stream: enrich.CloudTrail, Key: []byte(id), Value: line, ID: id, Kind: string(event.API), Schema: cloudtrail.SchemaEnriched})
	if err := show(f.Record, called); err != nil || instance == "" {
		return err
	}
	s := &enrich.Side{
		Kind: enrich.SideCloudTrail, Time: f.Record.Time, Value: line, Source: id, Position: in.Position, Appended: in.Appended,
	}
	if p, ok := r.facts.Owners.Instance(instance); ok {
		return r.deliver(s, []owner.Place{p}, out)
	}
	return r.keep(instanceOf(instance), s)
}

// states writes the facts that a record states.
func (r *Router) states(record *cloudtrail.Record, out *enrich.Out) error {
	facts := cloudtrail.Extract(nil, record)
	for i := range facts {
		value, err := json.Marshal(&facts[i])
		if err != nil {
			return fmt.Errorf("fact of %s: %w", record.ID(), err)
		}
		key := facts[i].CompactionKey(writer)
		out.Add(enrich.Output{Stream: enrich.Facts, Key: []byte(key), Value: value, ID: key, Kind: string(facts[i].Kind), Schema: owner.SchemaFact})
	}
	r.facts.state(facts) // the next record may rest on it
	return nil
}

// seen knows copies of CloudTrail's records by their ids: "d" and 16 bytes of a hash,
// with when it came. It reads its own state only.
type seen struct {
	state   enrich.State
	sweepAt time.Time
}

const (
	seenKey = "d"
	// copiesFor is how long a copy may come after the record, by the broker's time.
	copiesFor  = 24 * time.Hour
	seenFormat = 1
)

func newSeen(state enrich.State) *seen { return &seen{state: state} }

// before tells that the record came before, and remembers it from then on.
func (s *seen) before(id string, now time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(id))
	key := append([]byte(seenKey), sum[:16]...)
	value, err := s.state.Get("", key)
	if err != nil || value != nil {
		return value != nil, wrap(err)
	}
	if err := s.sweep(now); err != nil {
		return false, err
	}
	return false, wrap(s.state.Put("", key, compact.Time(compact.Number(nil, seenFormat), now)))
}

// sweep forgets, once in a while, what came long ago.
func (s *seen) sweep(now time.Time) error {
	if now.Before(s.sweepAt) {
		return nil
	}
	s.sweepAt = now.Add(copiesFor / 24)
	var old [][]byte
	err := s.state.Scan("", []byte(seenKey), func(key, value []byte) error {
		r := compact.NewReader(value)
		r.Format(seenFormat)
		if now.Sub(r.Time()) > copiesFor {
			old = append(old, append([]byte(nil), key...))
		}
		return r.Err()
	})
	if err != nil {
		return wrap(err)
	}
	for _, key := range old {
		if err := s.state.Delete("", key); err != nil {
			return wrap(err)
		}
	}
	return nil
}
