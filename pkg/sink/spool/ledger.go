package spool

import (
	"encoding/json"
	"slices"
)

// ledgerBytes is the length of each ledger file, taken when it is made.
const ledgerBytes = 64 << 10

// ledger is what was lost and not told yet, on disk. The spool's mu guards its
// lists, its disk lock the files.
type ledger struct {
	slots  slots
	losses losses
	// dropped are segments that were noted as lost: should one still be there
	// after a power cut, it is removed, so that no call is both told and lost.
	dropped []uint64
	dirty   bool
	failing bool
}

// ledgerValue is the ledger's JSON.
type ledgerValue struct {
	Losses  losses   `json:"losses"`
	Dropped []uint64 `json:"dropped,omitempty"`
}

func newLedger(files *fileSystem) ledger {
	return ledger{slots: slots{files: files, name: "ledger", length: ledgerBytes, known: []string{"losses", "dropped"}}}
}

// fit merges ranges until they have room.
func (v *ledgerValue) fit() {
	const most = ledgerBytes - slotHeader - 1024
	size := func() int {
		text, _ := json.Marshal(v) // numbers and strings
		return len(text)
	}
	if size() <= most {
		return
	}
	for i := range v.Losses {
		v.Losses[i].Spans = nil
	}
	for size() > most*3/4 {
		for range max(1, len(v.Losses)/16) {
			var ok bool
			if v.Losses, ok = v.Losses.merge(); !ok {
				v.Losses = v.Losses[min(1, len(v.Losses)):] // of agents long gone
			}
		}
	}
}

// lose notes a loss of this run. It is entered with mu held.
func (s *Spool) lose(l entry, joined func(last *entry) bool) {
	s.ledger.losses = s.ledger.losses.add(l, joined)
	s.ledger.dirty = true
	s.count(l.Loss)
}

// loseCall notes that a call was not kept.
func (s *Spool) loseCall(reason Reason, p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseRange(reason, p.call.Stream, p.seq, 1, int64(len(p.call.Payload)))
}

// loseRange notes calls of one stream that were not kept. It is entered with mu
// held.
func (s *Spool) loseRange(reason Reason, stream string, from, calls uint64, bytes int64) {
	l := Loss{
		Reason: reason, Agent: s.identity.Agent, Run: s.identity.Run, Stream: stream,
		From: from, To: from + calls - 1, Calls: calls, Bytes: bytes,
	}
	// What the reader told of stays as it was told.
	s.lose(entry{Loss: l}, func(last *entry) bool { return s.kept[stream] < last.To && s.handed < last.To })
}

// flushLedger makes the ledger durable when it changed. It is entered with the
// disk lock. What cannot be written is kept, told once and tried again.
func (s *Spool) flushLedger() error { return s.writeLedger(s.ledger.slots.write) }

func (s *Spool) writeLedger(write func(any) error) error {
	s.mu.Lock()
	if !s.ledger.dirty {
		s.mu.Unlock()
		return nil
	}
	v := s.ledgerValue()
	s.ledger.dirty = false
	s.mu.Unlock()
	err := write(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.dirty = s.ledger.dirty || err != nil
	if err != nil && !s.ledger.failing {
		s.cfg.Log.Error("what was lost cannot be noted on disk, it is kept in memory", "error", err)
	}
	s.ledger.failing = err != nil
	return err
}

// ledgerValue is what the ledger is to hold: what is lost and not told, and what
// would be if the process ended now.
func (s *Spool) ledgerValue() ledgerValue {
	told, agent := s.told, s.identity.Agent
	s.ledger.losses = slices.DeleteFunc(s.ledger.losses, func(e entry) bool {
		return e.Agent == told.Agent && e.To <= told.Seq || e.Agent != agent && told.Agent == agent
	})
	held := s.held.losses(agent, s.identity.Run)
	v := ledgerValue{Losses: append(slices.Clone(s.ledger.losses), held...), Dropped: slices.Clone(s.ledger.dropped)}
	before := len(v.Losses)
	v.fit()
	if len(v.Losses) < before {
		s.ledger.losses = slices.DeleteFunc(slices.Clone(v.Losses), func(e entry) bool { return e.Held })
	}
	return v
}

// Lose notes calls that the owner had to drop before the spool was open. They
// take as many seqs; the reader tells of them.
func (s *Spool) Lose(reason Reason, stream string, calls uint64, bytes int64) {
	if calls == 0 {
		return
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	s.loseRange(reason, stream, s.nextSeq, calls, bytes)
	s.nextSeq += calls
	s.mu.Unlock()
	_ = s.flushLedger() // told, and tried again
}
