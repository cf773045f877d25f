package spool

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// identity is what a spool is known by; it is stored as JSON in a slot pair.
type identity struct {
	Agent   string   `json:"agent"`
	Run     string   `json:"run"`
	HostIDs []string `json:"host_ids"`
	// Predecessor is the agent this folder had before its host changed.
	Predecessor string `json:"predecessor,omitempty"`
}

// identify reads who the spool is, or decides it, and stores the new run.
func (s *Spool) identify() error {
	stored := slots{files: s.files, name: "identity"}
	var old identity
	found, damaged, err := stored.read(&old)
	if err != nil {
		return err
	}
	s.identity = identity{Agent: old.Agent, HostIDs: s.cfg.HostIDs, Predecessor: old.Predecessor}
	switch {
	case !found && damaged:
		s.cfg.Log.Error("the spool's identity is damaged, it gets a new one", "dir", s.cfg.Dir)
		fallthrough
	case !found:
		s.identity.Agent = newUUID()
	case changed(old.HostIDs, s.cfg.HostIDs):
		s.identity.Agent, s.identity.Predecessor = newUUID(), old.Agent
		s.cfg.Log.Warn("this spool was made on another host, it gets a new agent", "was", old.Agent, "is", s.identity.Agent)
	}
	s.run = randomUint64()
	s.identity.Run = runText(s.run)
	return stored.write(s.identity)
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
	t := hex.EncodeToString(b[:])
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}
