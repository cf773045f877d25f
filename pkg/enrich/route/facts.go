package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// Facts is what a process knows of hosts and of the cloud. It is safe for concurrent
// use.
type Facts struct {
	Owners *owner.Table

	mu       sync.Mutex
	trail    *cloudtrail.Table
	enricher cloudtrail.Enricher
}

// NewFacts returns no facts; reputation, which may be nil, is asked about the addresses
// of API calls.
func NewFacts(reputation cloudtrail.Reputation) *Facts {
	table := cloudtrail.NewTable(0)
	return &Facts{Owners: owner.NewTable(), trail: table, enricher: cloudtrail.Enricher{Facts: table, Reputation: reputation}}
}

// Locate has the addresses of API calls located. It is called before the Facts are
// used.
func (f *Facts) Locate(places cloudtrail.Geo) { f.enricher.Geo = places }

// Learn takes a fact as its topic has it.
func (f *Facts) Learn(value []byte) error {
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
	f.state([]cloudtrail.Fact{stated})
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
func (f *Facts) state(all []cloudtrail.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fact := range all {
		f.trail.Add(fact)
	}
}

// enrich writes a CloudTrail record with what is known of it, and tells whose instance
// made the call, empty where that is not proved.
func (f *Facts) enrich(r *cloudtrail.Record, at cloudtrail.Place, now time.Time) (line []byte, instance string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, err = f.enricher.Append(nil, r, at, now)
	if host := f.trail.Host(r); host.Proof != cloudtrail.ProofSessionName {
		instance = host.ID
	}
	return line, instance, err
}

// Trail are the facts that CloudTrail states.
func (f *Facts) Trail() *cloudtrail.Table { return f.trail }

// Label has records told with what owners call things. It is called before the first
// record.
func (f *Facts) Label(l cloudtrail.Labels) { f.enricher.Labels = l }
