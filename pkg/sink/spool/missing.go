package spool

import (
	"cmp"
	"slices"
)

// missing is what the numbering lacks between the frame handed out before and
// this one. What the ledger does not explain was damaged.
func (s *Spool) missing(f *Frame) (found []Loss) {
	r := &s.reader
	same := r.last.agent == f.Agent
	if r.known {
		s.mu.Lock()
		after := r.last.seq
		if !same {
			found, after = s.ledger.losses.between(r.last.agent, after, 0), 0
		}
		own := returned(s.ledger.losses.between(f.Agent, after, f.Seq+1), f.Seq)
		own = append(own, s.unexplained(f, after)...)
		s.mu.Unlock()
		slices.SortStableFunc(own, func(a, b Loss) int { return cmp.Compare(a.To, b.To) })
		found = append(found, own...)
	}
	lost := slices.ContainsFunc(found, func(l Loss) bool { return l.Reason == Damaged })
	for _, d := range r.damage {
		s.tellDamage(d, lost)
	}
	return found
}

// returned takes the call at seq, which is there after all, off the losses that end
// with it: it was dropped when its sync failed, and a power cut brought it back.
func returned(all []Loss, seq uint64) []Loss {
	left := all[:0]
	for _, l := range all {
		if l.To == seq {
			l.To, l.Calls = l.To-1, l.Calls-1
		}
		if l.Calls > 0 && l.From <= l.To {
			left = append(left, l)
		}
	}
	return left
}

// unexplained are the seqs before a frame that no entry of the ledger covers. It
// is entered with mu held.
func (s *Spool) unexplained(f *Frame, after uint64) (found []Loss) {
	r := &s.reader
	run, bytes := r.last.run, int64(0)
	if r.last.agent != f.Agent || run == "" {
		run = f.Run
	}
	for _, d := range r.damage {
		run = d.seg.run
		bytes += d.to - d.from
	}
	s.ledger.losses.uncovered(f.Agent, after, f.Seq, func(from, to uint64) {
		l := Loss{Reason: Damaged, Agent: f.Agent, Run: run, From: from, To: to, Calls: to - from + 1, Bytes: bytes}
		bytes = 0
		found = append(found, l)
		s.countDamaged(l)
	})
	return found
}

// countDamaged counts a loss once, however often it is read. It is entered with
// mu held.
func (s *Spool) countDamaged(l Loss) {
	if s.damaged.agent == l.Agent && l.To <= s.damaged.seq {
		return
	}
	s.damaged = name{agent: l.Agent, seq: l.To}
	s.count(l)
}

// tellDamage sets a damaged range aside. At the end of a segment it is what an
// append that was cut off leaves, which was promised to nobody, unless the
// numbering says that something is lost.
func (s *Spool) tellDamage(d damage, lost bool) {
	if d.tail && !lost {
		s.cfg.Log.Info("the end of a segment holds no whole call, it was cut off while written", "segment", d.seg.number, "from", d.from, "bytes", d.to-d.from)
		return
	}
	s.cfg.Log.Error("damage in the spool", "segment", d.seg.number, "from", d.from, "to", d.to)
	s.setAside(d.seg.number, d.from, d.to)
}
