package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// keepHours is for how many hours before the newest the numbers are kept.
const keepHours = 48

// noisy counts what one rule began in one hour of event time, and what it was not
// allowed to.
type noisy struct {
	begun, over uint64
	revision    int64
	first, last time.Time
}

func noisyKeyOf(rule string, hour int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{noisyKey}, rule+"\x00"...), uint64(hour)^1<<63)
}

// admit tells whether a rule may begin one more finding. What is suppressed does
// not count: nobody is told of it.
func (p *Policy) admit(e *enrich.Event, g *group, h *hit, out *enrich.Out) (bool, error) {
	if h.suppressed != "" {
		return true, nil
	}
	hour := e.Time.Truncate(time.Hour)
	key := noisyKeyOf(g.rule(), hour.Unix()/3600)
	n, err := p.loadNoisy(key)
	if err != nil {
		return false, err
	}
	if n.begun == 0 {
		if err := p.forgetHours(g.rule(), hour.Unix()/3600-keepHours); err != nil {
			return false, err
		}
	}
	admitted := n.begun < uint64(p.cfg.MaxPerHour)
	if admitted {
		n.begun++
	} else if h.again {
		return false, nil // counted when it was new
	} else if n.more(e.Time); isPowerOfTen(n.over) {
		out.Add(p.noisyFinding(e, g.rule(), hour, n).Output(p.now()))
		n.revision++
	}
	if err := p.state.Put("", key, n.encode()); err != nil {
		return false, fmt.Errorf("count findings of %s: %w", g.rule(), err)
	}
	return admitted, nil
}

func (n *noisy) more(at time.Time) {
	n.over++
	if n.first.IsZero() || at.Before(n.first) {
		n.first = at
	}
	if at.After(n.last) {
		n.last = at
	}
}

// isPowerOfTen spaces the revisions, whatever the clocks say.
func isPowerOfTen(n uint64) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

func (p *Policy) noisyFinding(e *enrich.Event, rule string, hour time.Time, n *noisy) *finding.Finding {
	return &finding.Finding{
		ID:   finding.ID(finding.RuleNoisy, rule, p.cfg.Partition, hour.UTC().Format(time.RFC3339)),
		Rule: finding.RuleNoisy, Revision: p.cfg.Revision + n.revision, Title: "A rule raises too much", Status: finding.Open, Severity: finding.Medium,
		Confidence: 100, FirstSeen: n.first, LastSeen: n.last, Count: int64(n.over), Evidence: []finding.Evidence{{ID: e.ID, Position: e.Position}},
		Reason: fmt.Sprintf("Rule %s began %d findings in the hour from %s on. What met further ones is told by the enriched events alone: %d so far. "+
			"Look at the feed, or suppress what is meant to be.", rule, n.begun, hour.UTC().Format(time.RFC3339), n.over),
	}
}

func (p *Policy) loadNoisy(key []byte) (*noisy, error) {
	value, err := p.state.Get("", key)
	if err != nil || value == nil {
		return &noisy{}, err
	}
	return readNoisy(value)
}

// forgetHours drops the numbers of a rule's hours before first.
func (p *Policy) forgetHours(rule string, first int64) error {
	var old [][]byte
	edge := string(noisyKeyOf(rule, first))
	err := p.state.Scan("", append([]byte{noisyKey}, rule+"\x00"...), func(key, _ []byte) error {
		if string(key) < edge {
			old = append(old, append([]byte(nil), key...))
		}
		return nil
	})
	for i := 0; err == nil && i < len(old); i++ {
		err = p.state.Delete("", old[i])
	}
	if err != nil {
		return fmt.Errorf("count findings of %s: %w", rule, err)
	}
	return nil
}

func (n *noisy) encode() []byte {
	b := compact.Number(compact.Number(compact.Number(compact.Number(nil, format), n.begun), n.over), uint64(n.revision))
	return compact.Time(compact.Time(b, n.first), n.last)
}

func readNoisy(value []byte) (*noisy, error) {
	b := compact.NewReader(value)
	b.Format(format)
	n := &noisy{begun: b.Number(), over: b.Number(), revision: int64(b.Number())}
	n.first, n.last = b.Time(), b.Time()
	if b.Err() == nil && b.Rest() > 0 {
		b.Fail(errors.New("bytes left over"))
	}
	return n, b.Err()
}
