package enrich

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// changeStep is what lies between the revisions of a link before and after a change of
// owner. So they grow although nobody keeps what was told of it long ago.
const changeStep = 1 << 16

// base is the revision that a link of its Change begins with, which what withdraws it
// has: what tells it anew comes after.
func (l *Link) base() int {
	if l == nil {
		return 0
	}
	return l.Change * changeStep
}

// first is the revision that the link is first told with.
func (l *Link) first() int {
	if l == nil || l.Change == 0 {
		return 0
	}
	return l.base() + 1
}

// rerouted takes a sensor's record again whose owner turned out to be another one, or
// not to be the only one: it takes the place of what the host had of it before.
func (p *Pipeline) rerouted(ctx context.Context, in Input, out *Out) error {
	told, stale, err := p.giveUp(in.link)
	if err != nil {
		return err
	}
	if stale {
		p.stats.Duplicates++
		return nil
	}
	// A link of a shared address may not be told again: until it is, there is none.
	if in.link.Withdrawn || in.link.Shared {
		if err := p.withdraw(ctx, in, told, out); err != nil {
			return err
		}
	}
	if in.link.Withdrawn {
		return p.noteWithdrawn(in.link)
	}
	if p.waits != nil {
		if err := p.waits.state.Delete(in.link.Host, key(withdrawnKey, in.link.ID())); err != nil {
			return fmt.Errorf("link %s: %w", in.link.ID(), err)
		}
	}
	return p.step(ctx, in, -1, out)
}

// giveUp forgets what waits of a link's earlier changes. It tells whether anything of
// it may have been told, and whether l itself is what came before.
func (p *Pipeline) giveUp(l *Link) (told, stale bool, err error) {
	if p.waits == nil {
		return true, false, nil
	}
	change, known, err := p.withdrawnAt(l)
	if err != nil || known && change >= l.Change {
		return false, known, err
	}
	kept := p.waits.ids[l.ID()]
	if kept == nil {
		return true, false, nil
	}
	if kept.link.Change >= l.Change {
		return false, true, nil
	}
	p.waits.hosts[kept.host].remove(kept)
	return !kept.held || kept.link.Change > 0, false, p.waits.drop(kept)
}

// replaced forgets, without a word to the state, what a link that is read again took
// the place of.
func (p *Pipeline) replaced(l *Link) {
	kept := p.waits.ids[l.ID()]
	if kept == nil || kept.link.Change >= l.Change {
		return
	}
	p.waits.hosts[kept.host].remove(kept)
	p.waits.forget(kept)
}

// withdraw takes a link back: its findings, and where it was told the link itself.
func (p *Pipeline) withdraw(ctx context.Context, in Input, told bool, out *Out) error {
	e := &p.event
	link := *in.link
	link.Withdrawn, link.Shared = true, false
	in.link = &link
	p.identify(e, in, -1)
	if err := p.lookup(ctx, e); err != nil {
		return err
	}
	e.SoughtIn = nil // as in observed
	e.Again = true
	if err := p.judged(e, out); err != nil || !told {
		return err
	}
	e.Revision = p.partial.Base + link.base()
	p.value = AppendEnriched(p.value[:0], e, p.now())
	out.Add(p.output(e, out.Copy(p.value)))
	p.stats.Revised++
	return nil
}

// withdrawnKey and a link's id: its Change, and when it was withdrawn, for who meets
// the record again that it came by.
const withdrawnKey = "w"

// withdrawnFor is how long that is kept: longer than a record is looked for again.
const withdrawnFor = maxParked

func (p *Pipeline) noteWithdrawn(l *Link) error {
	if p.waits == nil {
		return nil
	}
	b := binary.AppendVarint(binary.AppendUvarint(nil, uint64(l.Change)), p.now().Unix())
	if err := p.waits.state.Put(l.Host, key(withdrawnKey, l.ID()), b); err != nil {
		return fmt.Errorf("link %s: %w", l.ID(), err)
	}
	return nil
}

// withdrawnAt is the Change at which a link was withdrawn, if it was.
func (p *Pipeline) withdrawnAt(l *Link) (change int, known bool, err error) {
	b, err := p.waits.state.Get(l.Host, key(withdrawnKey, l.ID()))
	if err != nil {
		return 0, false, fmt.Errorf("link %s: %w", l.ID(), err)
	}
	n, used := binary.Uvarint(b)
	return int(n), used > 0, nil
}

// isWithdrawn tells whether a record that is met again is no longer its host's.
func (p *Pipeline) isWithdrawn(l *Link) (bool, error) {
	if l == nil || p.waits == nil || l.Withdrawn {
		return l != nil && l.Withdrawn, nil
	}
	change, known, err := p.withdrawnAt(l)
	return known && change > l.Change, err
}

// sweepEvery is how often notes of what was withdrawn are looked through.
const sweepEvery = time.Hour

// sweepWithdrawn forgets links that were withdrawn long ago.
func (p *Pipeline) sweepWithdrawn() error {
	now := p.now()
	if p.waits == nil || now.Sub(p.swept) < sweepEvery {
		return nil
	}
	p.swept = now
	err := p.waits.forgetNotes([]byte(withdrawnKey), func(value []byte) bool {
		_, used := binary.Uvarint(value)
		return isOld(value[max(used, 0):], now, withdrawnFor)
	})
	if err != nil {
		return fmt.Errorf("links that were withdrawn: %w", err)
	}
	return nil
}
