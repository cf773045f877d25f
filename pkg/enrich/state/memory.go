package state

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Memory is an enrich.State that ends with the process: for a scan of files, and
// for tests.
type Memory struct {
	hosts map[enrich.Host]map[string][]byte
}

// NewMemory returns a Memory that holds nothing.
func NewMemory() *Memory { return &Memory{hosts: map[enrich.Host]map[string][]byte{}} }

// Get implements enrich.State.
func (m *Memory) Get(host enrich.Host, key []byte) ([]byte, error) {
	return m.hosts[host][string(key)], nil
}

// Put implements enrich.State.
func (m *Memory) Put(host enrich.Host, key, value []byte) error {
	table := m.hosts[host]
	if table == nil {
		table = map[string][]byte{}
		m.hosts[host] = table
	}
	table[string(key)] = bytes.Clone(value)
	return nil
}

// Delete implements enrich.State.
func (m *Memory) Delete(host enrich.Host, key []byte) error {
	delete(m.hosts[host], string(key))
	if len(m.hosts[host]) == 0 {
		delete(m.hosts, host)
	}
	return nil
}

// Scan implements enrich.State.
func (m *Memory) Scan(host enrich.Host, prefix []byte, visit func(key, value []byte) error) error {
	var keys []string
	for key := range m.hosts[host] {
		if strings.HasPrefix(key, string(prefix)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := visit([]byte(key), m.hosts[host][key]); err != nil {
			return err
		}
	}
	return nil
}

// Hosts implements enrich.State.
func (m *Memory) Hosts(visit func(enrich.Host) error) error {
	for _, host := range slices.Sorted(maps.Keys(m.hosts)) {
		if err := visit(host); err != nil {
			return err
		}
	}
	return nil
}
