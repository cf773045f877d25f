// Package owner tells which host had an address when, and which cloud instance a host
// is: what hosts' own rows say becomes facts, and every process that routes has all of
// them in a Table.
//
// It must never guess between hosts, and never do I/O.
package owner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// SchemaFact is the schema of a Fact.
const SchemaFact = "stackjoin.fact/1"

// Kind says what a Fact states.
type Kind string

// The kinds. Others in the same topic are CloudTrail's.
const (
	HostAddress  Kind = "host_address"  // a host had an address
	HostInstance Kind = "host_instance" // a host is a cloud instance
)

// Fact is what one host's rows state.
type Fact struct {
	Schema string      `json:"schema"`
	Kind   Kind        `json:"kind"`
	Host   enrich.Host `json:"host"`
	// Partition is where the host's rows come in, enrich.ByKey where their key decides.
	Partition int32 `json:"partition"`
	// RowsKey is that key, where Partition says so and the writer knows it.
	RowsKey string `json:"rows_key,omitempty"`
	// Address, with the times at which it was first and last seen, and whether it was
	// then said to be gone.
	Address netip.Addr `json:"address,omitzero"`
	From    time.Time  `json:"from,omitzero"`
	To      time.Time  `json:"to,omitzero"`
	Ended   bool       `json:"ended,omitempty"`
	// Gaps are the times between in which the host had given the address up, in order.
	Gaps []Gap `json:"gaps,omitempty"`
	// Instance is the host's id in the cloud, Account whose it is.
	Instance string `json:"instance,omitempty"`
	Account  string `json:"account,omitempty"`
}

// Gap is a time in which a host did not have an address, from when it said so to when it
// was seen with it again.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Key is the fact's in the compacted topic. Its writer is part of it: the partition
// whose owner alone writes it.
func (f *Fact) Key() string {
	about := f.Instance
	if f.Kind == HostAddress {
		about = f.Address.String()
	}
	return string(f.Kind) + "/" + about + "/" + string(f.Host) + "/join-" + strconv.Itoa(int(f.Partition))
}

// Output is the record for the topic of facts.
func (f *Fact) Output() (enrich.Output, error) {
	f.Schema = SchemaFact
	value, err := json.Marshal(f)
	if err != nil {
		return enrich.Output{}, fmt.Errorf("fact %s: %w", f.Key(), err)
	}
	return enrich.Output{Stream: enrich.Facts, Key: []byte(f.Key()), Value: value, ID: f.Key(), Kind: string(f.Kind), Schema: SchemaFact}, nil
}

// ErrOther is returned by Read for a fact that is not of this package's kinds.
var ErrOther = errors.New("a fact of another kind")

// Read reads a fact. Its error is ErrOther for one that others read.
func Read(value []byte) (*Fact, error) {
	var head struct {
		Kind Kind `json:"kind"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return nil, fmt.Errorf("fact: %w", err)
	}
	if head.Kind != HostAddress && head.Kind != HostInstance {
		return nil, ErrOther
	}
	var f Fact
	if err := json.Unmarshal(value, &f); err != nil {
		return nil, fmt.Errorf("fact: %w", err)
	}
	if f.Host == "" || f.Partition < enrich.ByKey || f.Kind == HostAddress && !f.Address.IsValid() || f.Kind == HostInstance && f.Instance == "" {
		return nil, fmt.Errorf("fact %s: a member is missing", f.Key())
	}
	f.Address = f.Address.Unmap().WithZone("")
	return &f, nil
}

// Deleting is the record that deletes the fact of that key from its topic: it has no
// value.
func Deleting(key, kind string) enrich.Output {
	return enrich.Output{Stream: enrich.Facts, Key: []byte(key), ID: key, Kind: kind, Schema: SchemaFact}
}

// deletion is the value of a record that deletes a fact, where a stream has no records
// without a value.
type deletion struct {
	Schema  string `json:"schema"`
	Deleted string `json:"deleted"`
}

// Deletion is the value that stands for none: it deletes the fact of that key.
func Deletion(key string) ([]byte, error) {
	value, err := json.Marshal(deletion{SchemaFact, key})
	if err != nil {
		return nil, fmt.Errorf("fact %s: %w", key, err)
	}
	return value, nil
}

// Deleted is the key of the fact that a value deletes, empty where it states one.
func Deleted(value []byte) (key string, err error) {
	if !bytes.Contains(value, []byte(`"deleted":`)) {
		return "", nil // most of them: they are read once more
	}
	var d deletion
	if err := json.Unmarshal(value, &d); err != nil {
		return "", fmt.Errorf("fact: %w", err)
	}
	return d.Deleted, nil
}
