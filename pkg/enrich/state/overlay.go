package state

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// scope is one operator's share of a Store: the writes of the transaction under
// way, over what the local store holds. It implements enrich.State.
type scope struct {
	store  *Store
	prefix []byte // of all its keys
	// hosts are the writes: format and value, nil for a deleted key.
	hosts map[enrich.Host]map[string][]byte
	key   []byte // scratch
}

// Get implements enrich.State.
func (s *scope) Get(host enrich.Host, key []byte) ([]byte, error) {
	if value, ok := s.hosts[host][string(key)]; ok {
		return content(value), nil
	}
	s.key = append(s.hostPrefix(s.key, host), key...)
	value, err := s.store.get(s.key)
	return content(value), err
}

// content is a value without its format.
func content(value []byte) []byte {
	if value == nil {
		return nil
	}
	return value[1:]
}

// Reads implements enrich.Owned.
func (s *scope) Reads(host enrich.Host) { s.store.own = host }

// Put implements enrich.State.
func (s *scope) Put(host enrich.Host, key, value []byte) error {
	if len(value) == 0 {
		return errors.New("state: an empty value is no value: use Delete")
	}
	if err := s.store.met(host); err != nil {
		return err
	}
	s.put(host, key, value)
	return nil
}

func (s *scope) put(host enrich.Host, key, value []byte) {
	table := s.table(host)
	old := table[string(key)]
	s.store.pending += int64(len(key) + len(value) - len(old))
	buffer := append(append(old[:0], s.store.formats.writes), value...)
	table[string(key)] = buffer
}

// Delete implements enrich.State.
func (s *scope) Delete(host enrich.Host, key []byte) error {
	s.table(host)[string(key)] = nil
	s.store.pending += int64(len(key))
	return nil
}

func (s *scope) table(host enrich.Host) map[string][]byte {
	table := s.hosts[host]
	if table == nil {
		table = map[string][]byte{}
		s.hosts[host] = table
	}
	return table
}

func (s *scope) hostPrefix(dst []byte, host enrich.Host) []byte {
	return appendText(append(dst[:0], s.prefix...), string(host))
}

// Scan implements enrich.State.
func (s *scope) Scan(host enrich.Host, prefix []byte, visit func(key, value []byte) error) error {
	table := s.hosts[host]
	written := matching(table, prefix)
	lower := s.hostPrefix(nil, host)
	skip := len(lower)
	lower = append(lower, prefix...)
	// The writes come between what the local store holds, in one order, and hide
	// what they replace.
	show := func(key string) error {
		if value := table[key]; value != nil {
			return visit([]byte(key), content(value))
		}
		return nil
	}
	err := s.store.walk(lower, after(lower), func(full, value []byte) error {
		key := full[skip:]
		for len(written) > 0 && written[0] < string(key) {
			if err := show(written[0]); err != nil {
				return err
			}
			written = written[1:]
		}
		if len(written) > 0 && written[0] == string(key) {
			written = written[1:]
			return show(string(key))
		}
		return visit(key, content(value))
	})
	for ; err == nil && len(written) > 0; written = written[1:] {
		err = show(written[0])
	}
	return err
}

// matching returns the keys of a table that begin with prefix, in order.
func matching(table map[string][]byte, prefix []byte) []string {
	var keys []string
	for key := range table {
		if strings.HasPrefix(key, string(prefix)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Hosts implements enrich.State.
func (s *scope) Hosts(visit func(enrich.Host) error) error {
	hosts, err := s.candidates()
	if err != nil {
		return err
	}
	for _, host := range hosts {
		alive, err := s.alive(host)
		if err != nil {
			return err
		}
		if alive {
			if err := visit(host); err != nil {
				return err
			}
		}
	}
	return nil
}

// candidates are the hosts of which anything was ever written, in order.
func (s *scope) candidates() ([]enrich.Host, error) {
	var hosts []enrich.Host
	err := s.store.hosts(s.prefix, func(host enrich.Host) { hosts = append(hosts, host) })
	if err != nil {
		return nil, err
	}
	for host := range s.hosts {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

var errFound = errors.New("found")

func (s *scope) alive(host enrich.Host) (bool, error) {
	err := s.Scan(host, nil, func(_, _ []byte) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// appendChanges appends a change for each key written, its last value once.
func (s *scope) appendChanges(changes []Change) []Change {
	for host, table := range s.hosts {
		prefix := s.hostPrefix(nil, host)
		for key, value := range table {
			full := append(bytes.Clone(prefix), key...)
			changes = append(changes, Change{Key: full, Value: value})
		}
	}
	return changes
}

func (s *scope) discard() { clear(s.hosts) }
