package route

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// Facts is what a process knows of hosts and of the cloud. It is safe for concurrent
// use once Locate and Label have been called.
type Facts struct {
	Owners *owner.Table

	trail, uses *cloudtrail.Table
	enricher    cloudtrail.Enricher
	own         *echoes // of this process
}

// NewFacts returns no facts; reputation, which may be nil, is asked about the addresses
// of API calls.
func NewFacts(reputation cloudtrail.Reputation) *Facts {
	trail := cloudtrail.NewTable(0)
	return &Facts{
		Owners: owner.NewTable(), trail: trail, uses: cloudtrail.NewTable(0),
		enricher: cloudtrail.Enricher{Facts: trail, Reputation: reputation}, own: newEchoes(),
	}
}

// Locate has the addresses of API calls located.
func (f *Facts) Locate(places cloudtrail.Geo) { f.enricher.Geo = places }

// Label has records told with what owners call things.
func (f *Facts) Label(l cloudtrail.Labels) { f.enricher.Labels = l }

// Learn takes a fact as its topic has it, or the deletion of one.
func (f *Facts) Learn(value []byte) error {
	if f.own.came(value) {
		return nil // known since it was stated
	}
	if key, err := owner.Deleted(value); err == nil && key != "" {
		return f.Forget([]byte(key))
	}
	fact, err := owner.Read(value)
	if err == nil {
		f.Owners.Add(fact)
		return nil
	}
	if !errors.Is(err, owner.ErrOther) {
		return fmt.Errorf("facts: %w", err)
	}
	var stated cloudtrail.Fact
	if err := json.Unmarshal(value, &stated); err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	f.state(stated)
	return nil
}

// Forget takes out a fact that was deleted, by its key.
func (f *Facts) Forget(key []byte) error {
	fact, err := owner.ReadKey(string(key))
	if errors.Is(err, owner.ErrOther) {
		return nil // CloudTrail's table forgets by itself
	}
	if err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	f.Owners.Remove(fact)
	return nil
}

// state takes in what a CloudTrail record states.
func (f *Facts) state(fact cloudtrail.Fact) {
	if fact.Kind == cloudtrail.FactUse {
		f.uses.Add(fact)
	} else {
		f.trail.Add(fact)
	}
}

// Trail are the facts that CloudTrail states, Uses those of credentials' use.
func (f *Facts) Trail() *cloudtrail.Table { return f.trail }

// Uses are from where credentials were used.
func (f *Facts) Uses() *cloudtrail.Table { return f.uses }

// changes grows with each fact.
func (f *Facts) changes() uint64 { return f.trail.Changes() + f.Owners.Changes() }
