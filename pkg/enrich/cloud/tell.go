package cloud

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// tellCalls writes the links of a host that are new or changed; all of them, where
// nothing more will come.
func (o *Operator) tellCalls(h *host, all bool, out *enrich.Out) error {
	for i := 0; i < len(h.calls) && h.dirty > 0 && h.record.Sensor; i++ {
		c := h.calls[i]
		if !c.dirty || !all && !h.passed(c, o.cfg.Hold) {
			continue
		}
		h.asked(c)
		if err := o.tellCall(h, c, out); err != nil {
			return err
		}
	}
	return nil
}

func (o *Operator) tellCall(h *host, c *call, out *enrich.Out) error {
	status, found := rank(c, h.around(c), h.mountList())
	if err := o.weigh(h, c, status, out); err != nil {
		return err
	}
	l := o.newLink(h.id, c, status, found)
	if answer := hashOf(encode(l)); answer != c.Told {
		l.Event.Revision, l.Event.Ingested = c.Revision, stamp(o.cfg.Now())
		out.Add(l.output())
		c.Told = answer
		c.Revision++
		o.changed.calls[c] = h
	}
	return nil
}

// tellAgain is how long, by its records' time, a finding that only counts on waits.
const tellAgain = time.Minute

// tellUses writes the findings about an instance's keys that are new or changed.
func (o *Operator) tellUses(h *host, all bool, out *enrich.Out) error {
	for _, name := range slices.Sorted(maps.Keys(h.unsure)) {
		if err := o.tellCredential(h, h.credentials[name], all, out); err != nil {
			return err
		}
	}
	return nil
}

func (o *Operator) tellCredential(h *host, k *credential, all bool, out *enrich.Out) error {
	v := o.judge(h, k)
	k.judged = k.Last
	if !v.outside && k.Told == "" {
		delete(h.unsure, k.name())
		return nil
	}
	f := o.finding(h, k, v)
	said := hashOf([]byte(string(f.Status) + string(f.Severity) + strings.Join(v.why, "|") + string(f.Host)))
	counts := k.Count != k.ToldCount
	if said == k.Told && (!counts || !all && k.Last.Before(k.ToldAt.Add(tellAgain))) {
		if !counts {
			delete(h.unsure, k.name())
		}
		return nil
	}
	delete(h.unsure, k.name())
	out.Add(f.Output(o.cfg.Now()))
	k.Told, k.ToldAt, k.ToldCount = said, k.Last, k.Count
	k.Revision++
	o.changed.credentials[k] = h
	return nil
}
