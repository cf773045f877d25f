package process

import (
	"container/list"
	"encoding/binary"
	"fmt"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// store keeps decoded hosts over the State: each is read when it is first touched,
// and what changes is written at once. The decoded ones are bounded; those touched
// longest ago are let go first.
type store struct {
	state enrich.State
	hosts map[enrich.Host]*list.Element // of *host
	used  *list.List                    // the last touched in front
	// cached is the number of versions decoded, most what it may be.
	cached, most int
	// format is that of the values written.
	format byte
	// counts are the versions of every host of the partition, total their sum. They
	// are nil until a version is added.
	counts map[enrich.Host]int
	total  int
	texts  map[string]string
	buf    []byte
	keyBuf []byte
}

// hostWeight is what a host weighs beside its versions, in versions.
const hostWeight = 4

// maxTexts bounds the interned texts. A fleet has few paths and users; whoever has
// more pays with memory of their own for each.
const maxTexts = 1 << 16

func newStore(state enrich.State, most int, format byte) *store {
	return &store{state: state, most: most, format: format, hosts: map[enrich.Host]*list.Element{}, used: list.New(), texts: map[string]string{}}
}

// intern returns the text of b in memory that equal texts share.
func (s *store) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if kept, ok := s.texts[string(b)]; ok {
		return kept
	}
	if len(s.texts) >= maxTexts {
		clear(s.texts)
	}
	text := string(b)
	s.texts[text] = text
	return text
}

// host returns what is known of a host.
func (s *store) host(name enrich.Host) (*host, error) {
	if e := s.hosts[name]; e != nil {
		if e != s.used.Front() {
			s.used.MoveToFront(e)
		}
		return e.Value.(*host), nil
	}
	h := newHost(name)
	if err := s.load(h); err != nil {
		return nil, err
	}
	s.hosts[name] = s.used.PushFront(h)
	s.cached += h.count + hostWeight
	return h, nil
}

// trim lets go of hosts while too much is decoded, but never of the last touched.
func (s *store) trim() {
	for s.cached > s.most && s.used.Len() > 1 {
		h := s.used.Remove(s.used.Back()).(*host)
		delete(s.hosts, h.name)
		s.cached -= h.count + hostWeight
	}
}

func (s *store) load(h *host) error {
	return s.state.Scan(h.name, nil, func(key, value []byte) error {
		if err := h.decode(key, value, s.intern); err != nil {
			return fmt.Errorf("process state of host %s at key %q: %w", h.name, key, err)
		}
		return nil
	})
}

// decode takes in one key of the host's.
func (h *host) decode(key, value []byte, keep func([]byte) string) (err error) {
	r := newReader(value, keep)
	if len(key) == 0 {
		return errCut
	}
	pid := int64(0)
	switch key[0] {
	case pidKey, loginKey, containerKey:
		if len(key) != 9 {
			return errCut
		}
		pid = int64(binary.BigEndian.Uint64(key[1:]))
	}
	switch key[0] {
	case hostKey:
		h.record, err = r.record()
	case pidKey:
		var who *history
		if who, err = r.history(); err == nil {
			h.pids[pid], h.count = who, h.count+len(who.versions)
		}
	case loginKey:
		var l *logins
		if l, err = r.logins(); err == nil {
			h.logins[pid] = l
		}
	case userKey:
		h.users[string(key[1:])] = user{r.text(), r.int()}
		err = r.done()
	case containerKey:
		h.containers[pid] = container{r.text(), r.int(), r.int()}
		err = r.done()
	}
	return err
}

// tally counts the partition's versions, once.
func (s *store) tally() error {
	if s.counts != nil {
		return nil
	}
	counts, total := map[enrich.Host]int{}, 0
	err := s.state.Hosts(func(name enrich.Host) error {
		return s.state.Scan(name, []byte{pidKey}, func(_, value []byte) error {
			r := newReader(value, nil)
			n := r.count(16)
			counts[name] += n
			total += n
			return r.err
		})
	})
	if err != nil {
		return fmt.Errorf("counting the processes kept: %w", err)
	}
	s.counts, s.total = counts, total
	return nil
}

// counted takes note that a host has n more versions, or fewer.
func (s *store) counted(h *host, n int) {
	h.count += n
	s.cached += n
	if s.counts != nil {
		if s.counts[h.name] += n; s.counts[h.name] == 0 {
			delete(s.counts, h.name)
		}
		s.total += n
	}
}

// putPID writes who had a pid, and forgets it when nobody is known.
func (s *store) putPID(h *host, pid int64, who *history) error {
	s.keyBuf = key(s.keyBuf[:0], pidKey, pid)
	if len(who.versions) == 0 && len(who.endings) == 0 {
		delete(h.pids, pid)
		return s.state.Delete(h.name, s.keyBuf)
	}
	h.pids[pid] = who
	s.buf = appendHistory(s.buf[:0], who, s.format)
	return s.state.Put(h.name, s.keyBuf, s.buf)
}

func (s *store) putRecord(h *host) error {
	s.buf = appendRecord(s.buf[:0], &h.record, s.format)
	return s.state.Put(h.name, []byte{hostKey}, s.buf)
}

// place returns where the event was read, in the host's own numbers.
func (s *store) place(h *host, e *enrich.Event) (origin.Place, error) {
	if s.format < placed {
		return origin.Place{}, nil
	}
	p, fresh := h.record.origins.Place(e)
	if !fresh {
		return p, nil
	}
	return p, s.putRecord(h)
}

func (s *store) putUser(h *host, uid string, u user) error {
	h.users[uid] = u
	s.keyBuf = append(append(s.keyBuf[:0], userKey), uid...)
	s.buf = binary.AppendVarint(appendText(append(s.buf[:0], s.format), u.name), u.at)
	return s.state.Put(h.name, s.keyBuf, s.buf)
}

func (s *store) putContainer(h *host, pid int64, c container) error {
	h.containers[pid] = c
	s.keyBuf = key(s.keyBuf[:0], containerKey, pid)
	s.buf = binary.AppendVarint(binary.AppendVarint(appendText(append(s.buf[:0], s.format), c.id), c.from), c.to)
	return s.state.Put(h.name, s.keyBuf, s.buf)
}

func (s *store) putLogins(h *host, pid int64, l *logins) error {
	s.keyBuf = key(s.keyBuf[:0], loginKey, pid)
	if len(l.facts) == 0 {
		delete(h.logins, pid)
		return s.state.Delete(h.name, s.keyBuf)
	}
	h.logins[pid] = l
	s.buf = appendLogins(s.buf[:0], l, s.format)
	return s.state.Put(h.name, s.keyBuf, s.buf)
}

func (s *store) dropContainer(h *host, pid int64) error {
	delete(h.containers, pid)
	s.keyBuf = key(s.keyBuf[:0], containerKey, pid)
	return s.state.Delete(h.name, s.keyBuf)
}
