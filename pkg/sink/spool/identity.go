package spool

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// identity is what a spool is known by; it is stored as JSON in a slot pair.
type identity struct {
	Agent   string   `json:"agent"`
	Run     string   `json:"run"`
	HostIDs []string `json:"host_ids"`
	// Predecessor is the agent this folder had before its host changed.
	Predecessor string `json:"predecessor,omitempty"`
	// First is the first seq of this run.
	First uint64 `json:"first"`
	// Closed is the last seq given when the run ended with Close; null while it
	// lasts, and when it was cut off.
	Closed *uint64 `json:"closed"`
}

func identitySlots(files *fileSystem) slots {
	return slots{files: files, name: "identity", known: []string{"agent", "run", "host_ids", "predecessor", "first", "closed"}}
}

// identify reads who the spool is, or decides it. created tells that there was
// none, before what it was in the opening before.
func (s *Spool) identify() (created bool, before identity, err error) {
	found, damaged, err := s.identities.read(&before)
	if err != nil {
		return false, identity{}, err
	}
	s.identity = identity{Agent: before.Agent, HostIDs: s.cfg.HostIDs, Predecessor: before.Predecessor}
	switch {
	case !found && damaged:
		s.cfg.Log.Error("the spool's identity is damaged, it gets a new one", "dir", s.cfg.Dir)
		fallthrough
	case !found:
		s.identity.Agent = newUUID()
	case changed(before.HostIDs, s.cfg.HostIDs):
		s.identity.Agent, s.identity.Predecessor = newUUID(), before.Agent
		s.cfg.Log.Warn("this spool was made on another host, it gets a new agent", "was", before.Agent, "is", s.identity.Agent)
	}
	s.run = randomUint64()
	s.identity.Run = runText(s.run)
	return !found && !damaged, before, nil
}

// changed tells whether one of the ids that both know differs.
func changed(was, is []string) bool {
	for i := range min(len(was), len(is)) {
		if was[i] != "" && is[i] != "" && was[i] != is[i] {
			return true
		}
	}
	return false
}

func randomUint64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint64(b[:])
}

func runText(run uint64) string { return fmt.Sprintf("%016x", run) }

// newUUID makes a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuidText(b[:])
}
